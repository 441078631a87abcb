"""Training-time changes to images, each a pure function of the image and a seed.

`light` is the default. `rand` and `mix` use KerasCV, which is imported only for them.
"""

import contextlib
import functools
import types
from unittest import mock

import tensorflow as tf

SMALLEST_CROP = 0.8  # of the side
BRIGHTNESS = 0.1 * 255  # added, at most
CONTRAST = (0.9, 1.1)
SATURATION = (0.9, 1.1)
RAND_OPERATIONS = 2  # with magnitude 9 of 30: the setting of RandAugment's paper for ResNet-50
RAND_MAGNITUDE = 0.3
MIX_UP_ALPHA = 0.2
CUT_MIX_ALPHA = 1.0


def random_crop_and_flip(image, seed):
    """Crops to 80 to 100 % of both sides at a random place; flips half of all images.

    Args:
        image: `(H, W, 3)`, any type.
        seed: int64 `(2,)`.

    Returns:
        `(h, w, 3)`, same type; not resized, so that the one resampling comes after it.
    """
    share, y, x, flip = tf.unstack(tf.random.stateless_uniform([4], seed))
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    crop_sides = tf.math.ceil((SMALLEST_CROP + (1.0 - SMALLEST_CROP) * share) * sides)
    corner = tf.cast(tf.stack([y, x]) * (sides - crop_sides + 1.0), tf.int32)
    height, width = tf.unstack(tf.cast(crop_sides, tf.int32))
    crop = image[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    return tf.cond(flip < 0.5, lambda: crop, lambda: tf.reverse(crop, [1]))


def light_color(image, seed):
    """Changes saturation, contrast and brightness by up to a tenth; stays in 0…255.

    Args:
        image: float32 `(H, W, 3)`, 0…255.
        seed: int64 `(2,)`.
    """
    seeds = tf.random.split(seed, 3)
    image = tf.image.stateless_random_saturation(image, *SATURATION, seeds[0])
    image = tf.image.stateless_random_contrast(image, *CONTRAST, seeds[1])
    image = tf.image.stateless_random_brightness(image, BRIGHTNESS, seeds[2])
    return tf.clip_by_value(image, 0.0, 255.0)


def rand_augment(image, seed):
    """RandAugment (Cubuk et al., 2020) by KerasCV, from `seed` alone.

    Args:
        image: float32 `(H, W, 3)`, 0…255.
        seed: int64 `(2,)`.
    """
    import keras_cv

    with _stateless_draws(seed):
        layer = keras_cv.layers.RandAugment(
            value_range=(0, 255),
            augmentations_per_image=RAND_OPERATIONS,
            magnitude=RAND_MAGNITUDE,
        )
        return tf.ensure_shape(layer(image), image.shape)


def mix(images, labels, seed):
    """MixUp or CutMix by KerasCV, each for half of all batches, from `seed` alone.

    Args:
        images: float32 `(B, H, W, 3)`, 0…255.
        labels: float32 `(B, C)`, one-hot.
        seed: int64 `(2,)`.
    """
    import keras_cv

    def mixed(layer_class, alpha):
        with _stateless_draws(seed):
            outputs = layer_class(alpha=alpha)({"images": images, "labels": labels})
        return (
            tf.ensure_shape(outputs["images"], images.shape),
            tf.ensure_shape(outputs["labels"], labels.shape),
        )

    return tf.cond(
        tf.random.stateless_uniform([], seed) < 0.5,
        functools.partial(mixed, keras_cv.layers.MixUp, MIX_UP_ALPHA),
        functools.partial(mixed, keras_cv.layers.CutMix, CUT_MIX_ALPHA),
    )


@contextlib.contextmanager
def _stateless_draws(seed):
    """Binds the names KerasCV draws through to stateless draws from `seed`.

    Its layers draw from stateful generators, which neither repeat in a parallel `map` nor can be
    put back for a resumed run. They are built and traced once, inside this context; the graph
    that remains has no state. A counter gives each draw of the trace its own seed.
    """
    drawn = 0

    def next_seed():
        nonlocal drawn
        drawn += 1
        return tf.random.fold_in(seed, drawn)

    def uniform(shape, minval=0, maxval=None, dtype=tf.float32, **_):
        maxval = 1 if maxval is None else maxval
        return tf.random.stateless_uniform(shape, next_seed(), minval, maxval, dtype)

    def normal(shape, mean=0.0, stddev=1.0, dtype=tf.float32, **_):
        return tf.random.stateless_normal(shape, next_seed(), mean, stddev, dtype)

    def gamma(shape, alpha, **_):
        return tf.random.stateless_gamma(shape, next_seed(), alpha)

    def shuffle(value, **_):
        return tf.random.experimental.stateless_shuffle(value, next_seed())

    generator = types.SimpleNamespace(uniform=uniform)
    with mock.patch.multiple(
        tf.random,
        uniform=uniform,
        normal=normal,
        gamma=gamma,
        shuffle=shuffle,
        get_global_generator=lambda: generator,
    ):
        yield
