"""Training-time changes to images, each a pure function of the image and a seed.

`light` is the default. `rand` and `mix` are made of Keras' preprocessing layers. KerasCV, imported
only for `rand`, has the two operations for which Keras' own are no use in tf.data: Keras'
equalization lays 768 loops out into the graph, which takes seconds to trace; its solarization
cannot be kept to the brightest pixels.
"""

import functools
import math

import keras
import tensorflow as tf

SMALLEST_CROP = 0.8  # of the side
BRIGHTNESS = 0.1 * 255  # added, at most
CONTRAST = (0.9, 1.1)
SATURATION = (0.9, 1.1)
GRAY = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
PIXELS_AT_ONCE = 8
RAND_OPERATIONS = 2  # with magnitude 9 of 30: the setting of RandAugment's paper for ResNet-50
RAND_MAGNITUDE = 0.3
ROTATION, SHEAR, SHIFT = 30 / 360, 0.3, 0.45  # at magnitude 1: of a turn, a slope, of a side
MIX_UP_ALPHA = 0.2
CUT_MIX_ALPHA = 1.0


def random_crop_and_flip(image, seed, smallest=SMALLEST_CROP, mirror=True):
    """Crop to a share of both sides, at least `smallest`, at a random place; flip half of all.

    Args:
        image: `(H, W, 3)`, any type.
        seed: int64 `(2,)`.
        smallest: least share of the sides to keep; with 1 nothing is cropped.
        mirror: whether to flip half of all, left to right.

    Returns:
        `(h, w, 3)`, same type; not resized, so that the one resampling comes after it.

    Example:
        crop = augment.random_crop_and_flip(images[0], seed=[0, 1])
        assert crop.shape[0] >= 0.8 * images.shape[1]
    """
    share, y, x, flip = tf.unstack(tf.random.stateless_uniform([4], seed))
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    crop_sides = tf.math.ceil((smallest + (1.0 - smallest) * share) * sides)
    corner = tf.cast(tf.stack([y, x]) * (sides - crop_sides + 1.0), tf.int32)
    height, width = tf.unstack(tf.cast(crop_sides, tf.int32))
    crop = image[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    if not mirror:
        return crop
    return tf.cond(flip < 0.5, lambda: crop, lambda: tf.reverse(crop, [1]))


def light_color(image, seed):
    """Change saturation, contrast and brightness by up to a tenth, within 0…255.

    1. Each pixel away from its gray, or towards it; then from the image's mean; then brighter or
       darker.
    2. Clipped to 0…255.

    Args:
        image: float32 `(H, W, 3)`, 0…255.
        seed: int64 `(2,)`.

    Returns:
        float32 `(H, W, 3)`, 0…255.

    Example:
        image = images[0].astype("float32")
        assert augment.light_color(image, seed=[0, 1]).shape == image.shape
    """
    draws = tf.unstack(tf.random.stateless_uniform([3], seed))
    saturation, contrast = (
        low + (high - low) * draw
        for draw, (low, high) in zip(draws[:2], (SATURATION, CONTRAST), strict=True)
    )
    brightness = BRIGHTNESS * (2.0 * draws[2] - 1.0)
    # All are linear: gray + s · (pixel − gray), then mean + c · (pixel − mean), then pixel + b.
    gray = tf.tile(tf.constant(GRAY)[:, None], (1, 3))
    saturate = saturation * tf.eye(3) + (1.0 - saturation) * gray
    mean = tf.reduce_mean(tf.reshape(image, (-1, 3)), axis=0, keepdims=True) @ saturate  # (1, 3)
    shift = (1.0 - contrast) * mean + brightness
    return tf.clip_by_value(_linear(image, contrast * saturate, shift), 0.0, 255.0)


def _linear(image, matrix, shift):
    """`image @ matrix + shift`, several pixels at a time: four times as fast."""
    pixels = math.gcd(math.prod(image.shape[:2]), PIXELS_AT_ONCE)
    block_diagonal = tf.einsum("ij,kl->ikjl", tf.eye(pixels), matrix)
    block_diagonal = tf.reshape(block_diagonal, (3 * pixels, 3 * pixels))
    rows = tf.reshape(image, (-1, 3 * pixels)) @ block_diagonal + tf.tile(shift, (1, pixels))
    return tf.reshape(rows, image.shape)


def rand_augment(image, seed):
    """Apply two random operations in a row (RandAugment: Cubuk et al., CVPR 2020).

    1. Nothing; auto-contrast; equalization; or one of solarization, color, contrast, brightness,
       sharpness, rotation, shear and shift on either axis, by up to `RAND_MAGNITUDE` of its range.
    2. Only the operation drawn is computed.

    Args:
        image: float32 `(H, W, 3)`, 0…255.
        seed: int64 `(2,)`.

    Returns:
        float32 `(H, W, 3)`, 0…255.

    Example:
        image = ops.cast(images[0], "float32")
        assert augment.rand_augment(image, seed=[0, 1]).shape == image.shape
    """
    draws = _Draws(seed)
    with tf.init_scope():
        layers, equalize, solarize = _rand_layers()
    operations = [
        lambda images: images,
        lambda images: equalize.augment_images(images),
        lambda images: solarize.augment_images(images, _solarization(draws)),
        *(functools.partial(_transformed, layer, draws) for layer in layers),
    ]
    images = image[None]
    for _ in range(RAND_OPERATIONS):
        drawn = draws.uniform((), 0, len(operations), tf.int32)
        branches = [functools.partial(operation, images) for operation in operations]
        images = tf.ensure_shape(tf.switch_case(drawn, branches), images.shape)
    return tf.clip_by_value(images[0], 0.0, 255.0)


def mix(images, labels, seed):
    """Mix a batch by MixUp (Zhang et al., 2018) or CutMix (Yun et al., 2019), with equal odds.

    Args:
        images: float32 `(B, H, W, 3)`, 0…255.
        labels: float32 `(B, C)`, one-hot.
        seed: int64 `(2,)`.

    Returns:
        `(images, labels)`, of the same shapes.

    Example:
        batch = ops.cast(images, "float32"), ops.one_hot(labels, 3)
        mixed, targets = augment.mix(*batch, seed=[0, 1])
    """
    draws = _Draws(seed)
    with tf.init_scope():
        layers = _mix_layers()

    def mixed(layer):
        outputs = _transformed(layer, draws, images, labels)
        return tuple(map(tf.ensure_shape, outputs, (images.shape, labels.shape)))

    first, second = (functools.partial(mixed, layer) for layer in layers)
    return tf.cond(draws.uniform(()) < 0.5, first, second)


class _Draws(keras.random.SeedGenerator):
    """What Keras' layers draw by: seeds that follow from one, without a state.

    Their own generators are variables, which neither repeat in a parallel `map` nor can be put
    back for a resumed run. A counter gives each draw of a trace its own seed.
    """

    def __init__(self, seed):  # not the base's, which makes a variable
        self.seed = seed
        self.drawn = 0

    def next(self, ordered=True):
        self.drawn += 1
        return tf.random.fold_in(self.seed, self.drawn)

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=tf.float32):
        return tf.random.stateless_uniform(shape, self.next(), minval, maxval, dtype)


def _transformed(layer, draws, images, labels=None):
    """The images, and the labels if given, as a Keras preprocessing layer changes them."""
    transformation = layer.get_random_transformation(images, seed=draws)
    images = layer.transform_images(images, transformation)
    return images if labels is None else (images, layer.transform_labels(labels, transformation))


def _solarization(draws):
    """What KerasCV's solarization takes: pixels from a threshold on are inverted."""
    threshold = draws.uniform((1, 1, 1, 1), 255.0 * (1.0 - RAND_MAGNITUDE), 255.0)
    return {"thresholds": threshold, "additions": 0.0}


def _in_tf_data(layer_class, **options):
    layer = layer_class(data_format="channels_last", dtype="float32", **options)
    layer.backend.set_backend("tensorflow")  # whatever Keras runs on
    return layer


@functools.cache
def _rand_layers():
    """Keras' layers, and KerasCV's equalization and solarization."""
    import keras_cv

    magnitude, layers = RAND_MAGNITUDE, keras.layers
    return (
        [
            _in_tf_data(layers.AutoContrast),
            _in_tf_data(layers.RandomColorDegeneration, factor=magnitude),
            _in_tf_data(layers.RandomContrast, factor=magnitude),
            _in_tf_data(layers.RandomBrightness, factor=magnitude),
            # A half leaves the image as it is.
            _in_tf_data(layers.RandomSharpness, factor=(0.5 - magnitude / 2, 0.5 + magnitude / 2)),
            _in_tf_data(layers.RandomRotation, factor=ROTATION * magnitude),
            _in_tf_data(layers.RandomShear, x_factor=(0.0, SHEAR * magnitude)),
            _in_tf_data(layers.RandomShear, y_factor=(0.0, SHEAR * magnitude)),
            _in_tf_data(layers.RandomTranslation, height_factor=SHIFT * magnitude, width_factor=0),
            _in_tf_data(layers.RandomTranslation, height_factor=0, width_factor=SHIFT * magnitude),
        ],
        keras_cv.layers.Equalization((0, 255), dtype="float32"),
        keras_cv.layers.Solarization((0, 255), dtype="float32"),
    )


@functools.cache
def _mix_layers():
    return (
        _in_tf_data(keras.layers.MixUp, alpha=MIX_UP_ALPHA),
        _in_tf_data(keras.layers.CutMix, factor=(CUT_MIX_ALPHA, CUT_MIX_ALPHA)),
    )
