"""Files that an older version wrote are read, and say what they said (see `golden/README.md`)."""

import json

import numpy as np
import pytest
from golden_files import FOLDER, LABELS, image
from PIL import Image

from export.classify import Classifier


@pytest.mark.parametrize("name", ["model_fp16.tflite", "model_int8.tflite"])
def test_a_tflite_file_says_what_it_said(name):
    expected = json.loads((FOLDER / "tflite.json").read_text())[name]
    classifier = Classifier(FOLDER / name)
    assert (classifier.labels, classifier.image_size, classifier.confidence) == (LABELS, 64, 2.0)
    for kind, confidence in (("full", None), ("glance", 0.0)):
        answer = classifier.classify(Image.fromarray(image()), confidence)
        assert list(answer.labels) == expected[kind]["labels"]
        for field in ("probabilities", "boxes", "step_weights"):
            value = np.reshape(expected[kind][field], np.shape(getattr(answer, field)))
            np.testing.assert_allclose(getattr(answer, field), value, atol=2e-3, err_msg=field)
