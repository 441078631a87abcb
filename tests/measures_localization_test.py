import numpy as np
import pytest

from rra_keras.measures import localization as loc


def test_intersection_over_union_by_hand():
    boxes = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]
    others = [[0, 0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], [0.5, 0.5, 1, 1]]
    # A quarter of each is shared: 1/16 of the image out of 1/4 + 1/4 − 1/16.
    np.testing.assert_allclose(loc.intersection_over_union(boxes, others), [1, 1 / 7, 0])


def test_boxes_of_a_mask_largest_first_and_joined_over_corners():
    mask = np.array(
        [
            [1, 0, 0, 0],
            [0, 0, 1, 1],
            [0, 0, 1, 1],
            [0, 1, 0, 0],
        ],
        bool,
    )
    np.testing.assert_array_equal(
        loc.boxes_of(mask), [[0.25, 0.25, 1.0, 1.0], [0.0, 0.0, 0.25, 0.25]]
    )
    assert loc.boxes_of(np.zeros((4, 4), bool)).shape == (0, 4)


def maps_and_boxes():
    """Two maps of 4 × 4 with a large weak part and a small strong one, and their boxes."""
    first = np.zeros((4, 4))
    first[0:2] = 0.5  # 8 cells
    first[3, 3] = 1.0
    second = np.zeros((4, 4))
    second[2:, :2] = 1.0  # 4 cells
    return np.stack([first, 10 * second - 3]), np.array([[0, 0, 0.5, 1.0], [0.5, 0, 1.0, 0.25]])


def test_threshold_ious_by_hand():
    maps, boxes = maps_and_boxes()
    largest, best = loc.threshold_ious(maps, boxes, [0.0, 0.4, 0.8])
    # At 0 all is kept: the box's own area. At 0.4 the first map's halves part, at 0.8 only its
    # strong cell is left. The second map's part is twice its box.
    np.testing.assert_allclose(largest, [[0.5, 1.0, 0.0], [0.125, 0.5, 0.5]])
    np.testing.assert_allclose(best, [[0.5, 1.0, 0.0], [0.125, 0.5, 0.5]])


def test_the_best_part_counts_in_v2_alone():
    values = np.zeros((1, 4, 4))
    values[0, :2] = 1.0
    values[0, 3, 3] = 1.0
    largest, best = loc.threshold_ious(values, [[0.75, 0.75, 1, 1]], [0.5])
    np.testing.assert_allclose(largest, [[0.0]])
    np.testing.assert_allclose(best, [[1.0]])


def test_max_box_acc_takes_the_one_threshold_that_is_best_for_all():
    ious = np.array([[0.6, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.9, 0.4]])
    assert loc.max_box_acc(ious) == pytest.approx(2 / 3)  # at the second
    # At 0.3: two at the first threshold, two at the second; 0.5: two; 0.7: one.
    assert loc.max_box_acc_v2(ious) == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)


def test_a_flat_map_is_the_whole_image():
    largest, _ = loc.threshold_ious(np.full((1, 4, 4), 3.0), [[0, 0, 1, 0.5]])
    assert largest.max() == 0.5  # at the threshold 0, where everything is kept


def test_pointing_by_hand():
    maps, boxes = maps_and_boxes()
    points = loc.peaks(maps)
    np.testing.assert_allclose(points, [[0.875, 0.875], [0.625, 0.125]])
    np.testing.assert_array_equal(loc.hits(points, boxes), [False, True])


def test_a_part_must_be_enclosed_as_a_whole():
    boxes = np.array([[0.2, 0.2, 0.8, 0.8]] * 3)
    parts = np.array([[0.3, 0.3, 0.4, 0.4], [0.1, 0.3, 0.4, 0.4], [0.2, 0.2, 0.8, 0.8]])
    np.testing.assert_array_equal(loc.contains(boxes, parts), [True, False, True])
    several = np.stack([parts, parts[::-1]], axis=1)  # two of each
    enclosed = [[True, True], [False, False], [True, True]]
    np.testing.assert_array_equal(loc.contains(boxes[:, None], several), enclosed)


def test_baselines_have_the_boxes_sizes_and_stay_inside():
    own = np.tile([[0.1, 0.2, 0.4, 0.9]], (2000, 1))
    centered = loc.center_boxes(own)
    np.testing.assert_allclose(centered[0], [0.35, 0.15, 0.65, 0.85])
    anywhere = loc.random_boxes(own, np.random.default_rng(0))
    np.testing.assert_allclose(anywhere[:, 2:] - anywhere[:, :2], [[0.3, 0.7]] * 2000)
    assert anywhere.min() >= 0
    assert anywhere.max() <= 1
    np.testing.assert_allclose(loc.centers(anywhere).mean(axis=0), [0.5, 0.5], atol=0.02)
