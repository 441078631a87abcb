"""The README's Python, as it stands there."""

import pathlib
import re

import numpy as np
from conftest import tensorflow_only

README = pathlib.Path(__file__).parents[1] / "README.md"


@tensorflow_only("Grad-CAM by tf-keras-vis")
def test_the_readme_s_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = {
        "images": rng.integers(0, 256, (2, 448, 448, 3)).astype("uint8"),
        "labels": np.array([0, 19]),
        "more_images": rng.integers(0, 256, (1, 448, 448, 3)).astype("uint8"),
        "more_labels": np.array([7]),
        "photos": rng.integers(0, 256, (1, 448, 448, 3)).astype("uint8"),
    }
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 3
    exec("".join(blocks), names)

    assert names["logits"].shape == (1, 20)
    assert names["looked"]["boxes"].shape == (1, 1, 4)
    assert names["maps"].shape == (1, 5, 448, 448)
    own = names["own"]
    own.fit(rng.uniform(0, 255, (2, 128, 128, 3)), names["labels"], verbose=0)
    assert own.predict(np.zeros((1, 128, 128, 3)), verbose=0).shape == (1, 20)
