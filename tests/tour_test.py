"""`docs/tour.ipynb`, run from its first cell to its last."""

import json
import pathlib

import matplotlib
import numpy as np
from conftest import tensorflow_only
from PIL import Image

from rra_keras.discovery import search

pytestmark = tensorflow_only("explanations and exports")
TOUR = pathlib.Path(__file__).parents[1] / "docs" / "tour.ipynb"


def test_the_tour_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    monkeypatch.setattr(search, "LEAST", 1000)  # no matching, for the time: the birds are large
    cells = json.loads(TOUR.read_text("utf-8"))["cells"]
    names = {}
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for whole, part in (('"train", 80', '"train", 48'), ("epochs=10", "epochs=7")):  # for the time
        assert code.count(whole) == 1
        code = code.replace(whole, part)
    exec(code, names)
    assert np.mean(names["logits"].argmax(-1) == names["test_labels"]) > 0.25  # by chance 0.125
    assert len(names["result"].boxes) >= 1
    with Image.open("focus.png") as drawn:
        assert drawn.width > 400
    assert "places read: " in capsys.readouterr().out
