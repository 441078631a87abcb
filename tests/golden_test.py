"""Files that an older version wrote are read, and say what they said (see `golden/README.md`)."""

import json
import shutil

import keras
import numpy as np
import pytest
from conftest import tensorflow_only
from golden_files import FOLDER, LABELS, build, checkpoint, image
from PIL import Image

from export.classify import Classifier


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_tflite_file_says_what_it_said(precision):
    name = f"model_{precision}.tflite"
    expected = json.loads((FOLDER / "tflite.json").read_text())[name]
    classifier = Classifier(FOLDER / name)
    assert (classifier.labels, classifier.image_size, classifier.fixations) == (LABELS, 64, 2)
    answer = classifier.classify(Image.fromarray(image()))
    assert list(answer.labels) == expected["labels"]
    for field in ("probabilities", "boxes", "weights", "score"):
        value = getattr(answer, field)
        np.testing.assert_allclose(value, expected[field], atol=2e-3, err_msg=field)


def test_a_keras_file_loads_and_says_what_it_said():
    model = keras.models.load_model(FOLDER / "model.keras")
    expected = json.loads((FOLDER / "keras.json").read_text())
    for name, value in model.view(*expected)(image()[None].astype("float32")).items():
        np.testing.assert_allclose(value, expected[name], atol=2e-3, err_msg=name)
    assert int(model.optimizer.iterations) == 1


@tensorflow_only("a state holds TensorFlow's optimizer and metrics")
def test_a_state_is_gone_on_from(tmp_path):
    shutil.copytree(FOLDER / "checkpoints", tmp_path / "checkpoints")
    stopped = keras.models.load_model(FOLDER / "model.keras")
    model = build()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    kept = checkpoint(tmp_path, model)
    kept.restore(model)
    assert (kept.epoch, kept.step, kept.best) == (1, 1, 0.5)
    for ours, theirs in zip(model.get_weights(), stopped.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert int(model.optimizer.iterations) == 1
