"""Where to look next: a feature map and its class scores → a box, without box labels."""

import keras
from keras import ops


def class_activation_map(scores):
    """Return the evidence at each position for the classes that the whole map believes in.

    The class scores at each position are weighted by the softmax of their mean over positions,
    i.e. of the logits: a class-activation map (Zhou et al., CVPR 2016) of the soft prediction. One
    matrix product, with no argmax to flip on a near-tie.

    Args:
        scores: `(B, h, w, C)`, class scores at each position.

    Returns:
        `(B, h, w)`.
    """
    height, width, classes = scores.shape[1:]
    probabilities = ops.softmax(ops.mean(scores, axis=(1, 2)))  # (B, C)
    evidence = ops.matmul(
        ops.reshape(scores, (-1, height * width, classes)), ops.expand_dims(probabilities, -1)
    )  # (B, h·w, 1)
    return ops.reshape(evidence, (-1, height, width))


def moment_box(activation, spread=3**0.5, min_size=0.3, max_size=0.75):
    """Return the square box that covers a map's mass: its centre and width from its moments.

    1. Keep what rises above the map's mean, as a distribution over positions.
    2. Centre: its mean. Side: `2 · spread` standard deviations along the wider axis.
    3. Clip the side to `[min_size, max_size]`, and move the centre until the box is inside.

    A constant map gives the centre and the spread of the whole image.

    Args:
        activation: `(B, h, w)`.
        spread: half the side in standard deviations; √3 covers an even blob exactly.
        min_size: smallest side, as a fraction of the image's.
        max_size: largest side.

    Returns:
        `(B, 4)` as `y0 x0 y1 x1` in [0, 1].
    """
    height, width = activation.shape[1:]
    mass = ops.relu(activation - ops.mean(activation, axis=(1, 2), keepdims=True)) + 1e-6
    mass = mass / ops.sum(mass, axis=(1, 2), keepdims=True)  # (B, h, w)
    center_y, sd_y = _mean_and_sd(ops.sum(mass, axis=2), height)  # (B, 1) each
    center_x, sd_x = _mean_and_sd(ops.sum(mass, axis=1), width)
    half = ops.clip(spread * ops.maximum(sd_y, sd_x), min_size / 2, max_size / 2)
    center_y = ops.clip(center_y, half, 1.0 - half)
    center_x = ops.clip(center_x, half, 1.0 - half)
    return ops.concatenate(
        [center_y - half, center_x - half, center_y + half, center_x + half], axis=-1
    )


def _mean_and_sd(mass, size):
    positions = (ops.arange(size, dtype="float32") + 0.5) / size  # cell centres in [0, 1]
    mean = ops.sum(mass * positions, axis=-1, keepdims=True)  # (B, 1)
    variance = ops.sum(mass * ops.square(positions - mean), axis=-1, keepdims=True)
    return mean, ops.sqrt(variance + 1e-6)  # the root's slope stays finite on a single peak


def scale_gradient(x, scale):
    """Return `x` unchanged, its gradient multiplied by `scale`."""
    fixed = ops.stop_gradient(x)
    return fixed + scale * (x - fixed)


def box_in_box(outer, inner):
    """Return `inner` `(B, 4)`, given relative to `outer` `(B, 4)`, in `outer`'s own frame."""
    y0, x0, y1, x1 = ops.split(outer, 4, axis=-1)  # (B, 1) each
    origin = ops.concatenate([y0, x0, y0, x0], axis=-1)
    extent = ops.concatenate([y1 - y0, x1 - x0, y1 - y0, x1 - x0], axis=-1)
    return origin + inner * extent


@keras.saving.register_keras_serializable("rra_keras")
class CamLocalizer(keras.layers.Layer):
    """Box the class-activation map: learned from image-level labels alone.

    1. `scores` `(B, h, w, C)` → soft class-activation map `(B, h, w)` (`class_activation_map`).
    2. Map → square box `(B, 4)` from its moments (`moment_box`). No randomness.

    Args:
        spread: half the box's side in standard deviations of the map.
        min_size: smallest side, as a fraction of the image's.
        max_size: largest side.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, D)`; not used here, for localisers that need them.
        scores: `(B, h, w, C)`, class scores at each position.

    Output:
        `(B, 4)` float32 as `y0 x0 y1 x1` in [0, 1] of the view that `features` were computed from.

    Raises:
        ValueError: unless `0 < min_size <= max_size <= 1` and `spread > 0`.
    """

    def __init__(self, spread=3**0.5, min_size=0.3, max_size=0.75, **kwargs):
        kwargs.setdefault("dtype", "float32")  # a box's moments and edges need it
        super().__init__(**kwargs)
        if not (0 < min_size <= max_size <= 1 and spread > 0):
            raise ValueError(
                "Invalid value for `spread`, `min_size` or `max_size`. Expected spread > 0 and "
                f"0 < min_size <= max_size <= 1. Received: spread={spread}, min_size={min_size}, "
                f"max_size={max_size}"
            )
        self.spread = spread
        self.min_size = min_size
        self.max_size = max_size

    def call(self, features, scores):
        activation = class_activation_map(scores)
        return moment_box(activation, self.spread, self.min_size, self.max_size)

    def compute_output_shape(self, features_shape, scores_shape):
        return (features_shape[0], 4)

    def get_config(self):
        return {
            **super().get_config(),
            "spread": self.spread,
            "min_size": self.min_size,
            "max_size": self.max_size,
        }


@keras.saving.register_keras_serializable("rra_keras")
class CenterLocalizer(keras.layers.Layer):
    """Always look at the middle: what a localiser has to beat.

    Args:
        size: the box's side, as a fraction of the image's.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, D)`, for the batch size only.
        scores: not used.

    Output:
        `(B, 4)` float32 as `y0 x0 y1 x1` in [0, 1].

    Raises:
        ValueError: unless `0 < size <= 1`.
    """

    def __init__(self, size=0.5, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if not 0 < size <= 1:
            raise ValueError(
                f"Invalid value for argument `size`. Expected 0 < size <= 1. Received: size={size}"
            )
        self.size = size

    def call(self, features, scores=None):
        low, high = 0.5 - self.size / 2, 0.5 + self.size / 2
        batch = ops.zeros_like(ops.mean(features, axis=(1, 2, 3)), dtype="float32")  # (B,)
        box = ops.convert_to_tensor([[low, low, high, high]], dtype="float32")
        return ops.expand_dims(batch, -1) + box  # (B, 4)

    def compute_output_shape(self, features_shape, scores_shape=None):
        return (features_shape[0], 4)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


LOCALIZERS = {"cam": CamLocalizer, "center": CenterLocalizer}
