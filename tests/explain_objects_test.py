"""The sheet of the objects that were found."""

import numpy as np
import pytest
from PIL import Image

from rra_keras.explain import objects
from rra_keras.runs import Run
from rra_keras.training.objects import read_objects


def red(path):
    """Return where a picture is pure red, `(H, W)` booleans."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    return (pixels[..., 0] > 200) & (pixels[..., 1:].max(axis=-1) < 80)


def test_photos_are_drawn_in_their_own_proportions(tmp_path):
    photos, boxes = np.tile([255, 0, 0], (2, 64, 64, 1)), np.tile([0.4, 0.4, 0.6, 0.6], (2, 1))
    objects.draw(photos, boxes, [0.5, 1.0], tmp_path / "a.png", aspects=[2.0, 0.5], columns=2)
    shown = red(tmp_path / "a.png")
    for half, aspect in ((shown[:, :150], 2.0), (shown[:, 150:], 0.5)):
        rows, columns = (np.flatnonzero(half.any(axis=axis)) for axis in (1, 0))
        assert np.ptp(columns) / np.ptp(rows) == pytest.approx(aspect, rel=0.05)


def test_boxes_of_before_are_dashed(tmp_path):
    photos, boxes = np.tile([255, 0, 0], (1, 64, 64, 1)), np.array([[0.4, 0.4, 0.6, 0.6]])
    before = np.array([[0.05, 0.05, 0.95, 0.95]])
    for name, earlier in (("none", []), ("one", [before])):
        objects.draw(photos, boxes, [0.5], tmp_path / f"{name}.png", earlier=earlier, columns=1)
    hidden = red(tmp_path / "none.png").sum() - red(tmp_path / "one.png").sum()
    assert 50 < hidden < 600  # a line around, in dashes


def test_the_boxes_before_each_round_are_read_beside_those_found(tmp_path):
    (tmp_path / "objects.csv").write_text(
        "file,y0,x0,y1,x1,confidence\na.jpg,0,0,1,1,0.5\nb.jpg,0,0,0.5,0.5,1\ngone.jpg,0,0,1,1,1\n"
    )
    (tmp_path / "objects_by_round.csv").write_text(
        "file,round,y0,x0,y1,x1\n"
        "a.jpg,1,0.1,0,1,1\nb.jpg,1,0.2,0,1,1\ngone.jpg,1,0.3,0,1,1\n"
        "a.jpg,2,0.4,0,1,1\nb.jpg,2,0.5,0,1,1\ngone.jpg,2,0.6,0,1,1\n"
    )

    class Train:
        names, size = ["b.jpg", "a.jpg"], 2

    places, boxes, confidence, earlier = read_objects(Run(tmp_path), Train)
    np.testing.assert_array_equal(places, [1, 0])
    np.testing.assert_array_equal(boxes[:, 3], [1, 0.5])
    np.testing.assert_array_equal(confidence, [0.5, 1])
    np.testing.assert_allclose([each[:, 0] for each in earlier], [[0.1, 0.2], [0.4, 0.5]])
