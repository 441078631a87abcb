import numpy as np
import pytest

from rra_keras.layers import PeakBoxes
from rra_keras.layers.peaks import peak_boxes


def spikes(*places, side=8):
    """A map of zeros but for a value at each `(y, x, value)`."""
    maps = np.zeros((1, side, side), "float32")
    for y, x, value in places:
        maps[0, y, x] = value
    return maps


def centers(boxes):
    boxes = np.asarray(boxes)
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def test_boxes_are_around_the_peaks_the_highest_first():
    boxes = peak_boxes(spikes((2, 5, 1.0), (5, 1, 3.0)), 2, 0.25)
    expected = [[[5.5, 1.5], [2.5, 5.5]]]
    np.testing.assert_allclose(centers(boxes), np.array(expected) / 8, atol=1e-5)
    np.testing.assert_allclose(boxes[..., 2:] - boxes[..., :2], 0.25, atol=1e-6)


def test_a_peak_is_at_the_center_of_mass_of_its_neighborhood():
    boxes = peak_boxes(spikes((3, 3, 2.0), (3, 4, 1.0), (3, 6, 1.9)), 1, 0.25)
    np.testing.assert_allclose(centers(boxes), [[[3.5 / 8, (3.5 + 1 / 3) / 8]]], atol=1e-5)


def test_boxes_hardly_overlap():
    evidence = np.random.default_rng(0).uniform(size=(32, 7, 7)).astype("float32")
    boxes = np.asarray(peak_boxes(evidence, 3, 0.3))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        low = np.maximum(boxes[:, i, :2], boxes[:, j, :2])
        high = np.minimum(boxes[:, i, 2:], boxes[:, j, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        overlap = shared / (2 * 0.3**2 - shared)
        assert np.mean(overlap <= 0.2501) > 0.9
        assert overlap.max() < 0.5  # the second was moved inside from beyond the edge


def test_boxes_stay_inside():
    boxes = np.asarray(peak_boxes(spikes((0, 0, 2.0), (7, 7, 1.0)), 2, 0.5))
    np.testing.assert_allclose(boxes, [[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_even_map_has_its_peak_in_the_middle(value):
    boxes = peak_boxes(np.full((2, 7, 7), value, "float32"), 2, 0.5)
    np.testing.assert_allclose(boxes[:, 0], [[0.25, 0.25, 0.75, 0.75]] * 2, atol=1e-5)
    assert np.isfinite(boxes).all()


@pytest.mark.parametrize("arguments", [(0, 0.3), (2, 0.0), (2, 1.5)])
def test_a_count_or_side_out_of_range_is_refused(arguments):
    with pytest.raises(ValueError, match=r"`count` or `side`. Expected"):
        PeakBoxes(*arguments)
