"""Whether photos may be mirrored in training."""

import json
import types

import numpy as np
import pytest
from conftest import tensorflow_only

from rra_keras.discovery import may_be_mirrored
from rra_keras.discovery.mirror import likest_other
from rra_keras.runs import Run
from rra_keras.training.objects import mirrors

CENTER = np.tile(np.float32([0.25, 0.25, 0.75, 0.75]), (60, 1))


def arrows(pointing):
    """60 photos of noise with a wedge, and their labels `(60, 2)`.

    Args:
        pointing: `"class"`, one class to the left and one to the right; or `"either"`, where the
            classes differ by color and each points to either side.
    """
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 100, (60, 64, 64, 3)).astype("uint8")
    labels = np.eye(2)[np.arange(60) % 2]
    y, x = np.mgrid[:32, :32]
    wedge = abs(y - 15.5) < x / 2
    for i, (photo, label) in enumerate(zip(photos, labels[:, 1], strict=True)):
        turned = label if pointing == "class" else i // 2 % 2
        color = 0 if pointing == "class" else int(label)
        photo[16:48, 16:48, color][wedge[:, ::-1] if turned else wedge] = 255
    return photos, labels


@pytest.mark.parametrize(("pointing", "may"), [("class", False), ("either", True)])
def test_what_points_to_a_side_by_its_class_is_not_mirrored(backbone, pointing, may):
    assert may_be_mirrored(backbone, *arrows(pointing), CENTER, size=64) is may


def test_a_class_by_itself_may_be_mirrored(backbone):
    photos, _ = arrows("class")
    assert may_be_mirrored(backbone, photos, np.ones((60, 1)), CENTER, size=64)


def test_the_likest_other_class_is_none_of_the_labels():
    scores = np.array([[3.0, 1.0, 0.5], [1.0, 3.0, 2.0]])
    labels = np.array([[True, False, False], [True, True, False]])
    np.testing.assert_array_equal(likest_other(scores, labels), [1.0, 2.0])


@tensorflow_only("files")
def test_a_run_mirrors_as_told_or_as_was_found_out(tmp_path):
    def begun(name, found=None, **config):
        run = Run(tmp_path / name)
        run.directory.mkdir()
        config = {"mirror": None, "final": None, "init_from": None} | config
        run.path("config.json").write_text(json.dumps(config))
        if found is not None:
            run.path("objects.json").write_text(json.dumps({"mirror": found}))
        return types.SimpleNamespace(**config), run

    assert mirrors(*begun("found", found=True))
    assert not mirrors(*begun("not_so", found=False))
    assert mirrors(*begun("told", found=False, mirror=True))
    assert mirrors(*begun("nobody_looked"))
    assert not mirrors(*begun("goes_on", init_from=str(tmp_path / "not_so")))
    assert not mirrors(*begun("final", final=str(tmp_path / "goes_on")))
