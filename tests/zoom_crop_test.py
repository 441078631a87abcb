import keras
import numpy as np
import pytest
import scipy.ndimage
from conftest import gradient, tensorflow_only
from keras import ops

from rra_keras import ZoomCrop
from rra_keras.layers.zoom_crop import average, oversampling, zoom_crop

tf_image_only = tensorflow_only("tf.image")
both = pytest.mark.parametrize("method", [pytest.param("tf_image", marks=tf_image_only), "gather"])
FULL = [[0.0, 0.0, 1.0, 1.0]]


def sample_axis(image, start, end, length):
    """Sample the first axis of a float64 image evenly from `start` to `end`, 0 outside of it."""
    last = image.shape[0] - 1
    middle = [(start + end) / 2]
    positions = last * np.array(np.linspace(start, end, length) if length > 1 else middle)
    low = np.clip(np.floor(positions).astype(int), 0, last)
    high = np.minimum(low + 1, last)
    inside = (positions >= 0) & (positions <= last)
    fraction = (positions - low)[:, None, None]
    return ((1 - fraction) * image[low] + fraction * image[high]) * inside[:, None, None]


def reference(images, boxes, size):
    """`zoom_crop` in float64 NumPy."""
    crops = []
    for image, (y0, x0, y1, x1) in zip(np.float64(images), np.float64(boxes), strict=True):
        rows = sample_axis(image, y0, y1, size[0]).swapaxes(0, 1)
        crops.append(sample_axis(rows, x0, x1, size[1]).swapaxes(0, 1))
    return np.stack(crops)


def random_images(batch, height=21, width=34):
    return np.random.default_rng(0).uniform(size=(batch, height, width, 3)).astype("float32")


def random_boxes(kind, batch=8):
    rng = np.random.default_rng(1)
    corner, extent = rng.uniform(0, 0.4, (batch, 2)), rng.uniform(0.1, 0.6, (batch, 2))
    if kind == "outside":
        corner, extent = corner - 0.35, extent + 0.5
    elif kind == "far_outside":
        corner = corner + 1.5
    elif kind == "flipped":
        corner, extent = corner + extent, -extent
    elif kind == "zero_width":
        extent[:, 1] = 0.0
    return np.concatenate([corner, corner + extent], axis=-1).astype("float32")


KINDS = ("inside", "outside", "far_outside", "flipped", "zero_width")
SIZES = ((9, 16), (1, 1), (1, 12), (40, 50))


def cases(kinds=KINDS, batch=8):
    """Stack boxes of several kinds, and as many images, in one batch."""
    boxes = [random_boxes(kind, batch) for kind in kinds]
    return random_images(batch * len(kinds)), np.concatenate(boxes)


def image_gradient(images, boxes, size, method, upstream):
    return gradient(lambda x: ops.sum(zoom_crop(x, boxes, size, method) * upstream), images)


@both
@pytest.mark.parametrize("size", SIZES)
def test_crop_equals_numpy(size, method):
    images, boxes = cases()
    crops = np.asarray(zoom_crop(images, boxes, size, method))
    np.testing.assert_allclose(crops, reference(images, boxes, size), atol=1e-4)


@tf_image_only
@pytest.mark.parametrize("size", SIZES)
def test_methods_agree_in_value_and_image_gradient(size):
    images, boxes = cases()
    a, b = (np.asarray(zoom_crop(images, boxes, size, m)) for m in ("tf_image", "gather"))
    np.testing.assert_allclose(a, b, atol=1e-4)
    upstream = np.random.default_rng(2).normal(size=a.shape).astype("float32")
    a, b = (image_gradient(images, boxes, size, m, upstream) for m in ("tf_image", "gather"))
    most = np.abs(a).reshape(len(KINDS), -1).max(axis=1).repeat(8)[:, None, None, None]
    assert (np.abs(a - b) <= 1e-3 * most).all()


@both
@pytest.mark.parametrize("size", [(9, 16), (1, 12)])
def test_box_gradient_equals_finite_differences(size, method):
    """Differences of the float64 reference, with a step that crosses no pixel center."""
    images, boxes = cases(("inside", "outside", "flipped"))
    upstream = np.random.default_rng(2).normal(size=(len(boxes), *size, 3))
    step, expected = 1e-7, np.zeros(boxes.shape)
    for edge in range(4):
        shift = step * np.eye(4)[edge]
        above, below = (reference(images, np.float64(boxes) + s, size) for s in (shift, -shift))
        expected[:, edge] = np.sum((above - below) * upstream, axis=(1, 2, 3)) / (2 * step)
    measured = gradient(
        lambda x: ops.sum(zoom_crop(images, x, size, method) * np.float32(upstream)), boxes
    )
    most = np.abs(expected).reshape(3, -1).max(axis=1).repeat(8)[:, None]  # of each kind
    assert (np.abs(measured - expected) <= 1e-3 * most).all()


@both
def test_pixels_on_a_literal_image(method):
    image = np.arange(9, dtype="float32").reshape(1, 3, 3, 1)  # 0 1 2 / 3 4 5 / 6 7 8
    boxes = {
        (0.0, 0.0, 1.0, 1.0): [[0, 2], [6, 8]],
        (0.0, 0.0, 0.5, 0.5): [[0, 1], [3, 4]],
        (0.25, 0.5, 0.75, 1.0): [[2.5, 3.5], [5.5, 6.5]],
        (1.0, 0.0, 0.0, 1.0): [[6, 8], [0, 2]],  # flipped
        (0.5, 0.5, 0.5, 0.5): [[4, 4], [4, 4]],
        (-0.5, 0.0, 0.5, 1.0): [[0, 0], [3, 5]],  # begins above the image
    }
    for box, expected in boxes.items():
        crop = np.asarray(zoom_crop(image, np.array([box], "float32"), (2, 2), method))
        np.testing.assert_allclose(crop[0, ..., 0], expected, atol=1e-4)


@both
def test_one_pixel_is_the_middle_of_the_box(method):
    image = np.arange(9, dtype="float32").reshape(1, 3, 3, 1)
    box = np.array([[0.5, 0.0, 1.0, 0.5]], "float32")
    pixel = np.asarray(zoom_crop(image, box, (1, 1), method))
    np.testing.assert_allclose(pixel, [[[[5.0]]]], atol=1e-4)  # row 1.5, column 0.5


@both
@pytest.mark.parametrize("size", [(11, 17), (21, 34), (42, 68)])
def test_full_box_is_an_align_corners_resize(size, method):
    images = random_images(2)
    crops = np.asarray(zoom_crop(images, np.array(FULL * 2, "float32"), size, method))
    factors = (1, size[0] / 21, size[1] / 34, 1)
    expected = scipy.ndimage.zoom(images, factors, order=1, mode="nearest")
    np.testing.assert_allclose(crops, expected, atol=1e-4)
    if size == (21, 34):
        np.testing.assert_allclose(crops, images, atol=1e-4)


@both
@pytest.mark.parametrize("sides", [(448, 224), (448, 160), (320, 224), (600, 224), (97, 31)])
def test_full_box_has_no_black_border(sides, method):
    """`tf.image.crop_and_resize` alone rounds its last row at 448 → 224 to outside of the image."""
    image = np.ones((1, sides[0], sides[0], 1), "float32")
    crop = np.asarray(zoom_crop(image, np.array(FULL, "float32"), (sides[1], sides[1]), method))
    np.testing.assert_allclose(crop, 1.0, atol=1e-5)


@both
@pytest.mark.parametrize("pixels", [448, 512])
def test_box_that_touches_the_border_has_no_black_border(pixels, method):
    # The last one is among the few in float32 whose last sample, at 512 → 224, rounds outwards.
    sides = np.append(np.linspace(0.02, 1.0, 200), 0.05513007).astype("float32")
    low, high, full = 1 - sides, np.ones_like(sides), np.zeros_like(sides)
    images = np.ones((len(sides), pixels, 2, 1), "float32")
    for boxes in ([low, full, high, high], [full, full, sides, high]):
        crops = np.asarray(zoom_crop(images, np.stack(boxes, axis=-1), (224, 2), method))
        np.testing.assert_allclose(crops, 1.0, atol=1e-5)


@both
def test_half_precision_images_are_sampled_at_float32_positions(method):
    """Eight pixels a period over 1024 of them: half-precision positions would be off by 0.2."""
    wave = np.sin(np.arange(1024) * np.pi / 4).astype("float16")
    images = np.broadcast_to(wave[None, None, :, None], (1, 2, 1024, 1))
    boxes = np.array([[0.0, 0.7001, 1.0, 0.8003]], "float32")
    layer = ZoomCrop((2, 64), method, stride=None, dtype="mixed_float16")
    crops = layer([images, boxes])
    assert crops.dtype == "float16"
    np.testing.assert_allclose(crops, reference(images, boxes, (2, 64)), atol=5e-3)


@both
def test_half_precision_boxes_are_sampled_as_their_float32_values(method):
    images, boxes = random_images(8), random_boxes("inside").astype("float16")
    expected = zoom_crop(images, boxes.astype("float32"), (5, 6), method)
    np.testing.assert_array_equal(zoom_crop(images, boxes, (5, 6), method), expected)


@both
def test_integer_images_are_cropped_by_the_layer_as_floats(method):
    images = np.random.default_rng(0).integers(0, 256, (8, 9, 8, 3), "uint8")
    boxes = random_boxes("inside")
    crops = ZoomCrop((4, 5), method)([images, boxes])
    assert crops.dtype == "float32"
    np.testing.assert_allclose(crops, reference(images, boxes, (4, 5)), atol=255e-4)


@both
def test_open_image_sizes(method):
    images, boxes = keras.Input((None, None, 3)), keras.Input((4,))
    crops = ZoomCrop((5, 6), method, stride=None)([images, boxes])
    assert crops.shape == (None, 5, 6, 3)
    model = keras.Model([images, boxes], crops)
    for height, width in ((21, 34), (8, 5)):
        inputs = random_images(8, height, width), random_boxes("inside")
        outputs = model.predict(inputs, verbose=0)  # traced with sizes unknown
        np.testing.assert_allclose(outputs, reference(*inputs, (5, 6)), atol=1e-4)


def test_an_int_is_a_square_size():
    assert ZoomCrop(5).get_config()["size"] == (5, 5)


@tf_image_only
def test_auto_is_tf_image_under_tensorflow():
    inputs = random_images(8), random_boxes("outside")
    np.testing.assert_array_equal(
        zoom_crop(*inputs, (5, 6), "auto"), zoom_crop(*inputs, (5, 6), "tf_image")
    )
    assert not ZoomCrop(5).supports_jit


@pytest.mark.parametrize("size", [0, (4, 0), (-1, 4)])
def test_size_below_one_is_refused(size):
    with pytest.raises(ValueError, match=r"`size`.*positive.*Received: size="):
        ZoomCrop(size)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"`method`.*tf_image.*Received: method='nearest'"):
        ZoomCrop(4, "nearest")
    with pytest.raises(ValueError, match=r"`method`.*tf_image.*Received: method='nearest'"):
        zoom_crop(random_images(8), random_boxes("inside"), (4, 4), "nearest")


@both
def test_box_that_is_not_finite_makes_its_own_crop_nan(method):
    boxes = np.array([[0, 0, 1, 1], [0, np.nan, 1, 1]], "float32")
    crops = np.asarray(zoom_crop(np.ones((2, 8, 8, 1), "float32"), boxes, (4, 4), method))
    np.testing.assert_allclose(crops[0], np.ones((4, 4, 1)), atol=1e-5)
    assert np.isnan(crops[1]).all()


@both
def test_large_images_are_sampled_densely_and_averaged(method):
    images = random_images(3, height=64, width=33)
    boxes = np.array([[0, 0, 1, 1], [0.25, 0, 0.75, 0.5], [0.2, 0.3, 0.4, 0.5]], "float32")
    crops = np.asarray(zoom_crop(images, boxes, (16, 16), method, stride=1))
    dense = reference(images, boxes, (16 * 4, 16 * 2)).reshape(3, 16, 4, 16, 2, 3)
    np.testing.assert_allclose(crops, dense.mean(axis=(2, 4)), atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "size", "stride", "times"),
    [
        ((448, 448), (224, 224), 4, (1, 1)),
        ((448, 448), (128, 128), 4, (1, 1)),
        ((1344, 1344), (128, 128), 4, (3, 3)),
        ((512, 2048), (128, 128), 4, (1, 4)),
        ((2048, 2048), (128, 128), None, (1, 1)),
        ((None, None), (128, 128), 4, (1, 1)),
        ((32, 32), (64, 64), 1, (1, 1)),
    ],
)
def test_how_many_samples_a_pixel_is_of(shape, size, stride, times):
    assert oversampling(shape, size, stride) == times


def test_a_stripe_pattern_does_not_alias_in_a_small_crop():
    stripes = np.tile(np.repeat([0.0, 1.0], 8), 32).astype("float32")  # 512
    images = np.broadcast_to(stripes[None, None, :, None], (1, 512, 512, 3))
    crop = np.asarray(ZoomCrop(32)([images, np.array(FULL)]))
    np.testing.assert_allclose(crop, 0.5, atol=0.26)
    assert np.std(np.asarray(ZoomCrop(32, stride=None)([images, np.array(FULL)]))) > 0.4


def test_averages_of_rectangles():
    image = np.arange(24, dtype="float32").reshape(1, 4, 6, 1)
    expected = [[[4.0], [7.0]], [[16.0], [19.0]]]
    np.testing.assert_allclose(average(image, (2, 3)), [expected], rtol=1e-6)


@pytest.mark.parametrize("stride", [0, -1.0])
def test_a_stride_that_is_not_positive_is_refused(stride):
    with pytest.raises(ValueError, match=r"`stride`.*positive"):
        ZoomCrop(8, stride=stride)
