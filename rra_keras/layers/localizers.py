"""Where to look next: a feature map and its class scores → a box, without box labels."""

import keras
from keras import ops

from rra_keras.layers.box_localizer import BoxLocalizer
from rra_keras.layers.boxes import moment_box, sides
from rra_keras.layers.evidence import class_activation_map
from rra_keras.layers.localizer import ShapedLocalizer


class MomentLocalizer(ShapedLocalizer):
    """Box a map's mass by its moments (`moment_box`). No randomness.

    Args:
        spread: half a side in standard deviations of the map.
        min_size: smallest longer side, as a fraction of the image's.
        max_size: largest longer side.
        aspect: see `ShapedLocalizer`.
        **kwargs: `keras.layers.Layer`'s own.

    Raises:
        ValueError: unless `0 < min_size <= max_size <= 1`, `spread > 0` and `aspect > 0`.
    """

    def __init__(self, spread, min_size, max_size, aspect=1.0, **kwargs):
        super().__init__(aspect, **kwargs)
        if not (0 < min_size <= max_size <= 1 and spread > 0):
            raise ValueError(
                "Invalid value for `spread`, `min_size` or `max_size`. Expected spread > 0 and "
                f"0 < min_size <= max_size <= 1. Received: spread={spread}, min_size={min_size}, "
                f"max_size={max_size}"
            )
        self.spread = spread
        self.min_size = min_size
        self.max_size = max_size

    def box(self, activation):
        """Return the box `(B, 4)` of a map `(B, h, w)`."""
        return moment_box(activation, self.spread, self.min_size, self.max_size, self.aspect)

    def get_config(self):
        sizes = {"spread": self.spread, "min_size": self.min_size, "max_size": self.max_size}
        return {**super().get_config(), **sizes}


@keras.saving.register_keras_serializable("rra_keras")
class CamLocalizer(MomentLocalizer):
    """Box the class-activation map: learned from image-level labels alone.

    1. `scores` `(B, h, w, C)` → soft class-activation map `(B, h, w)` (`class_activation_map`).
    2. Map → box `(B, 4)` from its moments (`moment_box`). No randomness.

    The spread is wider than √3, which covers an even map exactly: evidence ends before the part
    that tells does. Call and output as `Localizer`'s, arguments as `MomentLocalizer`'s.

    Example:
        features, scores = np.ones((2, 7, 7, 8)), np.random.normal(size=(2, 7, 7, 20))
        boxes = rra_keras.CamLocalizer()(features, scores)  # (2, 4)
    """

    def __init__(self, spread=1.95, min_size=0.3, max_size=0.75, aspect=1.0, **kwargs):
        super().__init__(spread, min_size, max_size, aspect, **kwargs)

    def call(self, features, scores, fine_features=None):
        return self.box(class_activation_map(scores))


class SizedLocalizer(ShapedLocalizer):
    """Boxes of one size, wherever they are: what a localizer has to beat.

    Args:
        size: the box's longer side, as a fraction of the image's.
        aspect: see `ShapedLocalizer`.
        **kwargs: `keras.layers.Layer`'s own.

    Raises:
        ValueError: unless `0 < size <= 1` and `aspect > 0`.
    """

    def __init__(self, size=0.5, aspect=1.0, **kwargs):
        super().__init__(aspect, **kwargs)
        if not 0 < size <= 1:
            raise ValueError(
                f"Invalid value for argument `size`. Expected 0 < size <= 1. Received: size={size}"
            )
        self.size = size

    def extent(self):
        """Return the box's height and width, `(1, 2)`."""
        return ops.convert_to_tensor([[self.size * side for side in sides(self.aspect)]])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("rra_keras")
class CenterLocalizer(SizedLocalizer):
    """Always look at the middle. Call and output as `Localizer`'s, arguments as `SizedLocalizer`'s.

    Example:
        boxes = rra_keras.CenterLocalizer(0.4)(np.ones((2, 7, 7, 8)))
        # [[0.3, 0.3, 0.7, 0.7], [0.3, 0.3, 0.7, 0.7]]
    """

    def call(self, features, scores=None, fine_features=None):
        half = self.extent() / 2
        batch = ops.zeros_like(ops.mean(features, axis=(1, 2, 3)), dtype="float32")  # (B,)
        return ops.expand_dims(batch, -1) + ops.concatenate([0.5 - half, 0.5 + half], axis=-1)


@keras.saving.register_keras_serializable("rra_keras")
class RandomLocalizer(SizedLocalizer):
    """Look anywhere, anew at each call. Call and output as `Localizer`'s.

    Args:
        size: the box's longer side, as a fraction of the image's.
        aspect: see `ShapedLocalizer`.
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

    def call(self, features, scores=None, fine_features=None):
        extent = self.extent()
        shape = (ops.shape(features)[0], 2)
        corner = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        corner = corner * (1.0 - extent)  # (B, 2)
        return ops.concatenate([corner, corner + extent], axis=-1)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


LOCALIZERS = {
    "box": BoxLocalizer,
    "cam": CamLocalizer,
    "center": CenterLocalizer,
    "random": RandomLocalizer,
}


def make_localizer(spec, aspect, name="localizer"):
    """Return the localizer that `spec` stands for.

    Args:
        spec: a name in `LOCALIZERS`; a dict of such a `name` and arguments of its class, e.g.
            `{"name": "cam", "spread": 2.2}`; or a layer, returned as it is.
        aspect: of the boxes, unless `spec` says.
        name: the layer's name.

    Raises:
        ValueError: if there is no such localizer, or an argument is unknown or out of range.
    """
    if isinstance(spec, keras.layers.Layer):
        return spec
    options = dict(spec) if isinstance(spec, dict) else {"name": spec}
    kind = options.pop("name", None)
    if kind not in LOCALIZERS:
        raise ValueError(
            f"Invalid value for argument `localizer`. Expected one of {sorted(LOCALIZERS)}, a dict "
            f"with such a `name`, or a layer. Received: localizer={spec!r}"
        )
    if issubclass(LOCALIZERS[kind], ShapedLocalizer):
        options = {"aspect": aspect, **options}
    try:
        return LOCALIZERS[kind](**options, name=name)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Invalid value for argument `localizer`. Expected arguments of "
            f"{LOCALIZERS[kind].__name__}. Received: localizer={spec!r} ({error})"
        ) from error
