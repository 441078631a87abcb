import keras
import numpy as np
import pytest
import scipy.special
from conftest import gradient
from keras import ops

from rra_keras import (
    BoxLocalizer,
    CamLocalizer,
    CenterLocalizer,
    RandomLocalizer,
    ZoomCrop,
)
from rra_keras.layers.boxes import box_in_box, intersection_over_union, moment_box
from rra_keras.layers.evidence import class_activation_map


def blob(rows, columns, size=20, value=1.0):
    """A `(1, size, size)` map of zeros with a block of `value` in it."""
    activation = np.zeros((1, size, size), "float32")
    activation[:, slice(*rows), slice(*columns)] = value
    return activation


def box(activation, **kwargs):
    return np.asarray(moment_box(ops.convert_to_tensor(activation), **kwargs))[0]


def test_class_activation_map_equals_numpy():
    scores = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype("float32")
    probabilities = scipy.special.softmax(scores.mean(axis=(1, 2)), axis=-1)
    expected = np.einsum("bhwc,bc->bhw", scores, probabilities)
    np.testing.assert_allclose(class_activation_map(scores), expected, rtol=1e-5, atol=1e-6)


def test_class_activation_map_of_a_sure_model_is_the_map_of_its_class():
    scores = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype("float32")
    scores[..., 1] += 100
    np.testing.assert_allclose(class_activation_map(scores), scores[..., 1], rtol=1e-5)


def test_peak_gives_the_smallest_box_around_it():
    expected = [0.575 - 0.15, 0.375 - 0.15, 0.575 + 0.15, 0.375 + 0.15]  # the cell's center
    np.testing.assert_allclose(box(blob((11, 12), (7, 8))), expected, atol=2e-3)


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_peak_in_a_corner_moves_the_box_inside(scale):
    corners = {
        (0, 0): [0.0, 0.0, 0.3, 0.3],
        (0, 19): [0.0, 0.7, 0.3, 1.0],
        (19, 19): [0.7, 0.7, 1.0, 1.0],
    }
    for (y, x), expected in corners.items():
        activation = blob((y, y + 1), (x, x + 1), value=scale)
        np.testing.assert_allclose(box(activation), expected, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e6])
def test_even_map_gives_the_largest_box_in_the_middle(value):
    activation = np.full((1, 20, 20), value, "float32")
    np.testing.assert_allclose(box(activation), [0.125, 0.125, 0.875, 0.875], atol=1e-4)
    whole = box(activation, max_size=1.0)
    np.testing.assert_allclose(whole, [0.0, 0.0, 1.0, 1.0], atol=1e-4)


def test_even_blob_gives_the_box_of_its_width():
    activation = blob((4, 12), (8, 16))  # rows 0.2 … 0.6, columns 0.4 … 0.8
    np.testing.assert_allclose(box(activation), [0.2, 0.4, 0.6, 0.8], atol=2e-3)


def test_wider_axis_sets_the_side():
    activation = blob((9, 11), (5, 15))  # rows 0.45 … 0.55, columns 0.25 … 0.75
    np.testing.assert_allclose(box(activation), [0.25, 0.25, 0.75, 0.75], atol=2e-3)


@pytest.mark.parametrize("size", [5, 10, 20])
def test_even_blob_gives_its_box_on_a_coarse_map_too(size):
    activation = blob((size // 5, size * 3 // 5), (size * 2 // 5, size * 4 // 5), size=size)
    np.testing.assert_allclose(box(activation, min_size=0.1), [0.2, 0.4, 0.6, 0.8], atol=1e-4)


def test_aspect_is_width_by_height_and_both_axes_are_covered():
    wide = blob((9, 11), (4, 16))  # rows 0.45 … 0.55, columns 0.2 … 0.8
    np.testing.assert_allclose(box(wide, aspect=2.0), [0.35, 0.2, 0.65, 0.8], atol=2e-3)
    np.testing.assert_allclose(box(wide, aspect=3.0), [0.4, 0.2, 0.6, 0.8], atol=2e-3)
    tall = blob((4, 16), (9, 11))
    np.testing.assert_allclose(box(tall, aspect=0.5), [0.2, 0.35, 0.8, 0.65], atol=2e-3)
    # Where the height asks for more than the aspect gives, the box grows; at most to `max_size`.
    high = blob((6, 14), (9, 11))  # rows 0.3 … 0.7
    np.testing.assert_allclose(box(high, aspect=2.0, max_size=0.8), [0.3, 0.1, 0.7, 0.9], atol=2e-3)
    np.testing.assert_allclose(
        box(high, aspect=2.0, max_size=0.6), [0.35, 0.2, 0.65, 0.8], atol=2e-3
    )


def test_spread_scales_the_side():
    activation = blob((40, 60), (40, 60), size=100)  # 0.4 … 0.6
    sides = box(activation, spread=2 * 3**0.5)
    np.testing.assert_allclose(sides, [0.3, 0.3, 0.7, 0.7], atol=2e-3)


def test_map_need_not_be_square():
    activation = np.zeros((1, 10, 20), "float32")
    activation[:, 2:6, 8:16] = 1.0
    np.testing.assert_allclose(box(activation), [0.2, 0.4, 0.6, 0.8], atol=5e-3)


def test_boxes_of_random_maps_are_square_and_inside():
    activation = np.random.default_rng(0).normal(size=(200, 7, 7)).astype("float32") ** 5
    y0, x0, y1, x1 = np.asarray(moment_box(activation, min_size=0.2, max_size=0.9)).T
    np.testing.assert_allclose(y1 - y0, x1 - x0, atol=1e-6)
    assert min((y1 - y0).min() - 0.2, 0.9 - (y1 - y0).max()) > -1e-6
    assert min(y0.min(), x0.min(), 1 - y1.max(), 1 - x1.max()) >= 0.0


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ((0, 0, 1, 1), (0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
        ((0.2, 0.4, 0.6, 0.8), (0, 0, 1, 1), (0.2, 0.4, 0.6, 0.8)),
        ((0.5, 0.0, 1.0, 0.5), (0.5, 0.5, 1.0, 1.0), (0.75, 0.25, 1.0, 0.5)),
        ((0.2, 0.2, 0.6, 0.6), (0.25, 0.5, 0.75, 1.0), (0.3, 0.4, 0.5, 0.6)),
    ],
)
def test_box_in_box(outer, inner, expected):
    boxes = box_in_box(np.array([outer], "float32"), np.array([inner], "float32"))
    np.testing.assert_allclose(boxes, [expected], atol=1e-6)


def crop_gradient(scores):
    """Gradient of a crop's content with respect to the scores that placed it."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(len(scores), 32, 32, 3)).astype("float32")

    def content(scores):
        boxes = CamLocalizer(min_size=0.05, max_size=0.95)(scores)
        return ops.sum(ops.square(ZoomCrop(8)([images, boxes])))

    return gradient(content, scores)


def test_intersection_over_union_broadcasts():
    box = np.array([[[0.0, 0.0, 0.5, 0.5]]], "float32")
    others = np.array([[[0, 0, 0.5, 0.5], [0.25, 0, 0.75, 0.5], [0.6, 0, 1, 1], [0, 0, 0, 0]]])
    found = intersection_over_union(box, others.astype("float32"))
    np.testing.assert_allclose(found, [[1, 1 / 3, 0, 0]], atol=1e-5)


def test_gradient_of_the_crop_reaches_the_scores():
    rows = np.arange(7)[:, None, None]
    columns = np.arange(7)[:, None]
    peaks = [(2, 2), (3, 4), (4, 3), (4, 4)]
    maps = [np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2) * [3, 2, 1] for y, x in peaks]
    reached = crop_gradient(np.float32(maps))
    assert np.isfinite(reached).all()
    assert (np.abs(reached).max(axis=(1, 2, 3)) > 1e-2).all()


def test_gradient_is_finite_for_constant_maps_and_single_peaks():
    scores = np.zeros((4, 7, 7, 3), "float32")
    scores[1] = 1e4
    scores[2, 3, 3] = 1.0
    scores[3, 0, 6, 1] = 1e4
    assert np.isfinite(crop_gradient(scores)).all()
    one_cell = np.ones((4, 1, 1, 3), "float32")
    assert np.isfinite(crop_gradient(one_cell)).all()


def test_cam_localizer_is_the_moment_box_of_the_class_activation_map():
    scores = np.random.default_rng(0).normal(size=(3, 6, 5, 4)).astype("float32")
    expected = moment_box(class_activation_map(scores), 1.2, 0.2, 0.9)
    boxes = CamLocalizer(1.2, 0.2, 0.9)(scores)
    np.testing.assert_array_equal(boxes, expected)


def test_cam_localizer_leaves_room_around_the_evidence():
    evidence = blob((6, 14), (8, 16))  # rows 0.3 … 0.7, columns 0.4 … 0.8
    scores = np.stack([evidence, 0 * evidence], axis=-1)
    half = 0.2 * 1.95 / 3**0.5
    expected = [[0.5 - half, 0.6 - half, 0.5 + half, 0.6 + half]]
    np.testing.assert_allclose(CamLocalizer()(scores), expected, atol=2e-3)


def test_random_localizer_draws_boxes_of_its_size_inside_the_image():
    features = np.ones((300, 6, 5, 8), "float32")
    layer = RandomLocalizer(0.4, aspect=2.0, seed=0)
    assert {"size": 0.4, "aspect": 2.0, "seed": 0}.items() <= layer.get_config().items()
    y0, x0, y1, x1 = np.asarray(layer(features)).T
    np.testing.assert_allclose(y1 - y0, 0.2, atol=1e-6)
    np.testing.assert_allclose(x1 - x0, 0.4, atol=1e-6)
    assert 0 <= y0.min() < 0.02 < 0.78 < y0.max() <= 0.8
    assert 0 <= x0.min() < 0.02 < 0.58 < x0.max() <= 0.6
    assert not np.array_equal(np.asarray(layer(features))[:, 0], y0)


def test_center_localizer():
    boxes = CenterLocalizer(0.4)(np.ones((3, 6, 5, 8), "float32"))
    np.testing.assert_allclose(boxes, [[0.3, 0.3, 0.7, 0.7]] * 3, atol=1e-6)
    wide = CenterLocalizer(0.4, aspect=2.0)(np.ones((1, 6, 5, 8), "float32"))
    np.testing.assert_allclose(wide, [[0.4, 0.3, 0.6, 0.7]], atol=1e-6)


@pytest.mark.parametrize(
    "localizer", [BoxLocalizer, CamLocalizer, CenterLocalizer, RandomLocalizer]
)
def test_boxes_stay_float32_in_a_half_precision_model(localizer):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = localizer()
    finally:
        keras.config.set_dtype_policy("float32")
    features = np.full((2, 7, 7, 4), 1e5, "float32")  # over half precision's range
    boxes = layer(features)
    assert boxes.dtype == "float32"
    assert np.isfinite(np.asarray(boxes)).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_size": 0},
        {"min_size": 0.8},
        {"max_size": 1.1},
        {"spread": 0},
        {"spread": -1.0},
        {"aspect": 0},
    ],
)
def test_cam_localizer_refuses_arguments_out_of_range(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"`{name}`.*Expected.*Received: .*{name}="):
        CamLocalizer(**arguments)
