"""Files from others run no code. Pickles are tested in `backbones_test`, names in `report_test`."""

import csv

import keras
import numpy as np
import pytest
from keras import layers

from rra_keras.measures.predictions import prediction_rows
from rra_keras.runs import Run, files


def test_names_stay_as_they_are_in_a_table():
    classes = ["=1+1", '+"quoted", with a comma', "-5", "@home", "'apostrophe"]
    names = [f"{name}/0.jpg" for name in classes]
    logits = np.eye(5)[[4, 3, 2, 1, 0]]
    said = prediction_rows(logits, np.zeros(5), classes, labels=np.arange(5), names=names)
    rows = list(csv.DictReader(files.table(said).splitlines()))
    assert [row["file"] for row in rows] == names
    assert [row["label"] for row in rows] == classes
    assert [row["predicted"] for row in rows] == classes[::-1]


def test_a_model_file_with_code_is_refused(tmp_path):
    image = keras.Input((4, 4, 3))
    victim = tmp_path / "victim"
    code = layers.Lambda(
        lambda x, path: __import__("os").makedirs(path, exist_ok=True) or x,
        output_shape=(4, 4, 3),
        arguments={"path": str(victim)},
    )
    keras.Model(image, code(image)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="unsafe"):
        Run(tmp_path).load_model()
    assert not victim.exists()
    keras.models.load_model(tmp_path / "model.keras", safe_mode=False)(keras.ops.ones((1, 4, 4, 3)))
    assert victim.exists()  # that is what a trusting reader does
