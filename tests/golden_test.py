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


@pytest.mark.parametrize("kind", ["model", "looks"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_tflite_file_says_what_it_said(kind, precision):
    name = f"{kind}_{precision}.tflite"
    expected = json.loads((FOLDER / "tflite.json").read_text())[name]
    classifier = Classifier(FOLDER / name)
    assert (classifier.labels, classifier.image_size, classifier.confidence) == (LABELS, 64, 2.0)
    # A file whose signatures take whole images is of a version before: it runs in one call.
    for answered, looks in (("full", None), ("glance", 0))[: 1 if kind == "model" else 2]:
        answer = classifier.classify(Image.fromarray(image()), looks=looks)
        assert list(answer.labels) == expected[answered]["labels"]
        for field in ("probabilities", "boxes", "step_weights"):
            value = np.reshape(expected[answered][field], np.shape(getattr(answer, field)))
            np.testing.assert_allclose(getattr(answer, field), value, atol=2e-3, err_msg=field)


def test_a_keras_file_loads_and_says_what_it_said():
    model = keras.models.load_model(FOLDER / "model.keras")
    expected = json.loads((FOLDER / "keras.json").read_text())
    assert set(model.output) == set(expected)
    for name, value in model(image()[None]).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-3, err_msg=name)
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
