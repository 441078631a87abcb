"""Maps of where objects are, and boxes out of them."""

import numpy as np
import pytest

from rra_keras.discovery import colocalize
from rra_keras.discovery.hypotheses import hypothesize
from rra_keras.discovery.observe import Observed
from rra_keras.measures.boxes import intersection_over_union

FRAME = np.array([[0.0, 0.0, 1.0, 1.0]], "float32")


def squares(count=12, size=12, depth=6, seed=0):
    """Noise with a block of one common direction: features, and the blocks' boxes."""
    rng = np.random.default_rng(seed)
    features = rng.normal(scale=0.3, size=(count, size, size, depth)).astype("float32") + 5
    boxes = np.zeros((count, 4))
    direction = rng.normal(size=depth)
    for i, (y, x) in enumerate(rng.integers(1, size - 6, (count, 2))):
        features[i, y : y + 5, x : x + 4] += 2 * direction
        boxes[i] = np.array([y, x, y + 5, x + 4]) / size
    return features, boxes


def test_principal_components_equal_numpy():
    features, _ = squares()
    mean, components = colocalize.principal_components(features, 2)
    flat = features.reshape(-1, 6)
    np.testing.assert_allclose(mean, flat.mean(axis=0), atol=1e-5)
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    assert components.shape == (6, 2)
    for i in (0, 1):
        cosine = components[:, i] @ vectors[:, np.argsort(-values)[i]]
        assert abs(cosine) == pytest.approx(1, abs=1e-4)


def test_components_are_no_more_than_there_are():
    _, components = colocalize.principal_components(squares(depth=3)[0], 64)
    assert components.shape == (3, 3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_finds_what_photos_have_in_common(dtype):
    features, truth = squares()
    maps = colocalize.common_maps(features.astype(dtype))
    boxes, confidence = colocalize.boxes_of_maps(maps, 0.3)
    np.testing.assert_allclose(boxes, truth, atol=1e-6)
    assert np.all((confidence > 0.5) & (confidence <= 1))


def test_each_class_has_what_is_common_to_itself():
    features, truth = squares(8)
    others, other_truth = squares(8, seed=1)
    both = np.concatenate([features, others])
    labels = np.repeat(np.eye(2), 8, axis=0)
    maps = colocalize.class_maps(both, labels)
    boxes, _ = colocalize.boxes_of_maps(maps, 0.5)
    np.testing.assert_allclose(boxes, np.concatenate([truth, other_truth]), atol=1e-6)
    labels[0] = 1  # of both classes: what either has
    several = colocalize.class_maps(both, labels)
    first, second = (colocalize.common_maps(both[labels[:, c] > 0]) for c in (0, 1))
    np.testing.assert_array_equal(several[0], np.maximum(first[0], second[0]))


def test_fine_maps_agree_with_a_coarse_one_whatever_borders_are():
    features, truth = squares(12)
    fill = np.abs(features - 5).max(axis=-1) > 1.5  # mostly the block
    guide = np.zeros((12, 3, 3))
    for one, box in zip(guide, truth, strict=True):
        y, x = ((box[:2] + box[2:]) * 1.5).astype(int)
        one[y, x] = 1
    for maps in (
        colocalize.agreeing_maps(features, guide),
        colocalize.guided_maps(features, guide),
        colocalize.guided_maps(-features, guide),
    ):
        assert maps.shape == (12, 12, 12)
        assert maps.min() == 0
        assert maps[fill].mean() > 3 * maps[~fill].mean()


def test_guided_maps_are_ridge_regression():
    rng = np.random.default_rng(0)
    features, guide = rng.normal(size=(4, 5, 5, 3)), rng.uniform(size=(4, 5, 5))
    x = features.reshape(-1, 3) - features.reshape(-1, 3).mean(axis=0)
    y = (guide / guide.max(axis=(1, 2), keepdims=True)).ravel()
    weights = np.linalg.solve(x.T @ x + 0.5 * np.trace(x.T @ x) / 3 * np.eye(3), x.T @ y)
    expected = np.maximum(x @ weights, 0).reshape(4, 5, 5)
    maps = colocalize.guided_maps(features, guide, ridge=0.5)
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_foreground_is_what_borders_are_not():
    maps = np.full((2, 3, 3), -1.0)
    maps[:, 1, 1] = 2
    expected = np.zeros((2, 3, 3))
    expected[:, 1, 1] = 2
    np.testing.assert_array_equal(colocalize.foreground(maps), expected)
    np.testing.assert_array_equal(colocalize.foreground(-maps), expected)


def test_norm_maps_are_above_the_mean():
    norms = np.array([[[1.0, 3.0], [2.0, 6.0]]])
    np.testing.assert_array_equal(colocalize.norm_maps(norms), [[[0, 0], [0, 3]]])


def test_resize_is_bilinear_between_cell_centers():
    maps = np.array([[[0.0, 4.0]]])
    np.testing.assert_allclose(colocalize.resize(maps, 4)[0, 0], [0, 1, 3, 4])
    np.testing.assert_allclose(colocalize.resize(maps, 4)[0, 3], [0, 1, 3, 4])


def test_combine_is_a_geometric_mean():
    coarse, fine = np.zeros((1, 2, 2)), np.zeros((1, 4, 4))
    coarse[0, 0, 0] = 9
    fine[0, 1, 1] = fine[0, 3, 3] = 5
    combined = colocalize.combine(coarse, fine, grid=4)
    assert combined.max() == 1
    assert combined[0, 1, 1] == 1
    assert combined[0, 3, 3] == 0


def test_boxes_of_maps_take_the_largest_region():
    values = np.zeros((1, 10, 10))
    values[0, 1:3, 1:3] = 10
    values[0, 5:9, 4:8] = 4
    values[0, 9, 8] = 4  # touches at a corner
    boxes, confidence = colocalize.boxes_of_maps(values)
    np.testing.assert_allclose(boxes, [[0.5, 0.4, 1.0, 0.9]])
    np.testing.assert_allclose(confidence, [68 / 108])
    boxes, confidence = colocalize.boxes_of_maps(values, 0.5)
    np.testing.assert_allclose(boxes, [[0.1, 0.1, 0.3, 0.3]])
    np.testing.assert_allclose(confidence, [40 / 108])


def test_an_empty_map_is_the_whole_frame_without_confidence():
    boxes, confidence = colocalize.boxes_of_maps(colocalize.scaled(np.zeros((2, 5, 5))))
    np.testing.assert_array_equal(boxes, np.repeat(FRAME, 2, axis=0))
    np.testing.assert_array_equal(confidence, [0, 0])


def test_refuses_a_threshold_out_of_range():
    with pytest.raises(ValueError, match="threshold=1"):
        colocalize.boxes_of_maps(np.ones((1, 2, 2)), 1)


def test_hypotheses_need_labels_for_classes():
    features, truth = squares()
    norms = np.linalg.norm(features, axis=-1)
    seen = Observed(features.astype("float16"), norms)
    labels = np.arange(len(features)) % 2
    assert set(hypothesize(seen, seen)) == {"set", "norm"}
    found = hypothesize(seen, seen, labels)
    assert set(found) == {"set", "norm", "class"}
    boxes, confidence = found["set"]
    assert intersection_over_union(boxes, truth).mean() > 0.7
    assert confidence.shape == (len(features),)
