"""Localizers that do not learn from boxes: by the class scores of a map, or by nothing."""

import keras
from keras import ops

from rra_keras.layers.boxes import moment_box, sides
from rra_keras.layers.evidence import class_activation_map
from rra_keras.layers.localizer import Localizer


@keras.saving.register_keras_serializable("rra_keras")
class CamLocalizer(Localizer):
    """Box the class-activation map: learned only from image-level labels.

    1. Class scores `(B, h, w, C)` → soft class-activation map `(B, h, w)` (`class_activation_map`).
    2. Map → box `(B, 4)` from its moments (`moment_box`). No randomness.

    The spread is wider than √3, which covers an even map exactly: evidence ends before the part
    that tells does.

    Args:
        spread: half a side in standard deviations of the map.
        min_size: smallest longer side, as a fraction of the image's.
        max_size: largest longer side.
        aspect: the box's width by its height, as fractions of the image's.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, C)`, the class scores of each position.

    Output:
        As `Localizer`'s.

    Raises:
        ValueError: unless `0 < min_size <= max_size <= 1`, `spread > 0` and `aspect > 0`.

    Example:
        scores = np.random.normal(size=(2, 7, 7, 20))
        boxes = rra_keras.CamLocalizer()(scores)  # (2, 4)
    """

    def __init__(self, spread=1.95, min_size=0.3, max_size=0.75, aspect=1.0, **kwargs):
        super().__init__(**kwargs)
        if not (0 < min_size <= max_size <= 1 and spread > 0):
            raise ValueError(
                "Invalid value for `spread`, `min_size` or `max_size`. Expected spread > 0 and "
                f"0 < min_size <= max_size <= 1. Received: spread={spread}, min_size={min_size}, "
                f"max_size={max_size}"
            )
        _check_aspect(aspect)
        self.spread = spread
        self.min_size = min_size
        self.max_size = max_size
        self.aspect = aspect

    def call(self, features):
        activation = class_activation_map(features)
        return moment_box(activation, self.spread, self.min_size, self.max_size, self.aspect)

    def get_config(self):
        sizes = {"spread": self.spread, "min_size": self.min_size, "max_size": self.max_size}
        return {**super().get_config(), **sizes, "aspect": self.aspect}


class SizedLocalizer(Localizer):
    """Boxes of one size, wherever they are: what a localizer has to beat.

    Args:
        size: the box's longer side, as a fraction of the image's.
        aspect: the box's width by its height, as fractions of the image's.
        **kwargs: `keras.layers.Layer`'s own.

    Raises:
        ValueError: unless `0 < size <= 1` and `aspect > 0`.
    """

    def __init__(self, size=0.5, aspect=1.0, **kwargs):
        super().__init__(**kwargs)
        if not 0 < size <= 1:
            raise ValueError(
                f"Invalid value for argument `size`. Expected 0 < size <= 1. Received: size={size}"
            )
        _check_aspect(aspect)
        self.size = size
        self.aspect = aspect

    def extent(self):
        """Return the box's height and width, `(1, 2)`."""
        return ops.convert_to_tensor([[self.size * side for side in sides(self.aspect)]])

    def get_config(self):
        return {**super().get_config(), "size": self.size, "aspect": self.aspect}


@keras.saving.register_keras_serializable("rra_keras")
class CenterLocalizer(SizedLocalizer):
    """The middle, always. Call and output as `Localizer`'s, arguments as `SizedLocalizer`'s.

    Example:
        boxes = rra_keras.CenterLocalizer(0.4)(np.ones((2, 7, 7, 8)))
        # [[0.3, 0.3, 0.7, 0.7], [0.3, 0.3, 0.7, 0.7]]
    """

    def call(self, features):
        half = self.extent() / 2
        batch = ops.zeros_like(ops.mean(features, axis=(1, 2, 3)), dtype="float32")  # (B,)
        return ops.expand_dims(batch, -1) + ops.concatenate([0.5 - half, 0.5 + half], axis=-1)


@keras.saving.register_keras_serializable("rra_keras")
class RandomLocalizer(SizedLocalizer):
    """Anywhere, drawn again at each call. Call and output as `Localizer`'s.

    Args:
        size: the box's longer side, as a fraction of the image's.
        aspect: the box's width by its height, as fractions of the image's.
        seed: of the boxes; drawn unless given.
        **kwargs: `keras.layers.Layer`'s own.

    Example:
        boxes = rra_keras.RandomLocalizer(0.4, seed=0)(np.ones((2, 7, 7, 8)))  # (2, 4)
        again = rra_keras.RandomLocalizer(0.4, seed=0)(np.ones((2, 7, 7, 8)))  # the same
    """

    def __init__(self, size=0.5, aspect=1.0, seed=None, **kwargs):
        super().__init__(size, aspect, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, features):
        extent = self.extent()
        shape = (ops.shape(features)[0], 2)
        corner = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        corner = corner * (1.0 - extent)  # (B, 2)
        return ops.concatenate([corner, corner + extent], axis=-1)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _check_aspect(aspect):
    if not aspect > 0:
        raise ValueError(
            f"Invalid value for argument `aspect`. Expected above 0. Received: aspect={aspect}"
        )
