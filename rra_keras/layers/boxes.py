"""Boxes `y0 x0 y1 x1`: from a map of mass, inside one another, jittered; their gradient scaled."""

import keras
from keras import ops


def moment_box(activation, spread=3**0.5, min_size=0.3, max_size=0.75, aspect=1.0):
    """Return the box that covers a map's mass: its centre and sides from its moments.

    1. Keep what rises above the map's mean, as a distribution over positions, even in each cell.
    2. Centre: its mean. Sides: the smallest of the given aspect that reach `2 · spread` standard
       deviations along both axes.
    3. Clip the longer side to `[min_size, max_size]`, and move the centre until the box is inside.

    A constant map gives the centre and the spread of the whole image.

    Args:
        activation: `(B, h, w)`.
        spread: half a side in standard deviations; √3 covers an even blob exactly.
        min_size: smallest longer side, as a fraction of the image's.
        max_size: largest longer side.
        aspect: the box's width by its height, as fractions of the image's.

    Returns:
        `(B, 4)` as `y0 x0 y1 x1` in [0, 1].
    """
    height, width = activation.shape[1:]
    mass = ops.relu(activation - ops.mean(activation, axis=(1, 2), keepdims=True)) + 1e-6
    mass = mass / ops.sum(mass, axis=(1, 2), keepdims=True)  # (B, h, w)
    center_y, sd_y = _mean_and_sd(ops.sum(mass, axis=2), height)  # (B, 1) each
    center_x, sd_x = _mean_and_sd(ops.sum(mass, axis=1), width)
    share_y, share_x = sides(aspect)
    half = spread * ops.maximum(sd_y / share_y, sd_x / share_x)
    half = ops.clip(half, min_size / 2, max_size / 2)
    return box_around(center_y, center_x, half * share_y, half * share_x)


def _mean_and_sd(mass, size):
    positions = (ops.arange(size, dtype="float32") + 0.5) / size  # cell centres in [0, 1]
    mean = ops.sum(mass * positions, axis=-1, keepdims=True)  # (B, 1)
    variance = ops.sum(mass * ops.square(positions - mean), axis=-1, keepdims=True)
    return mean, ops.sqrt(variance + 1.0 / (12.0 * size**2))  # a cell's own mass is spread evenly


def sides(aspect):
    """Return the height and the width of a box of the given aspect whose longer side is 1."""
    return min(1.0, 1.0 / aspect), min(1.0, aspect)


def box_around(center_y, center_x, half_y, half_x):
    """Return the boxes `(B, 4)` around centres, moved until they are inside [0, 1].

    Args:
        center_y: `(B, 1)`.
        center_x: `(B, 1)`.
        half_y: `(B, 1)`, half the height, at most 0.5.
        half_x: `(B, 1)`, half the width, at most 0.5.
    """
    center_y = ops.clip(center_y, half_y, 1.0 - half_y)
    center_x = ops.clip(center_x, half_x, 1.0 - half_x)
    return ops.concatenate(
        [center_y - half_y, center_x - half_x, center_y + half_y, center_x + half_x], axis=-1
    )


def box_in_box(outer, inner):
    """Return `inner` `(B, 4)`, given relative to `outer` `(B, 4)`, in `outer`'s own frame."""
    y0, x0, y1, x1 = ops.split(outer, 4, axis=-1)  # (B, 1) each
    origin = ops.concatenate([y0, x0, y0, x0], axis=-1)
    extent = ops.concatenate([y1 - y0, x1 - x0, y1 - y0, x1 - x0], axis=-1)
    return origin + inner * extent


def scale_gradient(x, scale):
    """Return `x` unchanged, its gradient multiplied by `scale`."""
    fixed = ops.stop_gradient(x)
    if scale == 0:  # and GPU delegates refuse `x - x`
        return fixed
    return fixed + scale * (x - fixed)


@keras.saving.register_keras_serializable("rra_keras")
class BoxJitter(keras.layers.Layer):
    """Move and scale boxes at random while training: augmentation of the crops.

    A localiser always frames an object the same way, and a network that sees nothing else is
    thrown off by the few boxes that miss. In training only:

    1. Move the centre along each axis by up to `amount` of half the box's side.
    2. Multiply both sides by `exp(u)`, `u` up to `amount` either way, at most to the whole image.
    3. Move the box until it is inside the image.

    Args:
        amount: 0 leaves boxes as they are.
        seed: of the draws; drawn unless given.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        boxes: `(B, 4)` as `y0 x0 y1 x1` in [0, 1].
        training: whether to draw.

    Output:
        `(B, 4)` float32.

    Raises:
        ValueError: unless `0 <= amount < 1`.
    """

    def __init__(self, amount=0.2, seed=None, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if not 0 <= amount < 1:
            raise ValueError(
                "Invalid value for argument `amount`. Expected 0 <= amount < 1. "
                f"Received: amount={amount}"
            )
        self.amount = amount
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, boxes, training=False):
        if not training or not self.amount:
            return boxes
        draws = keras.random.uniform(
            (ops.shape(boxes)[0], 3),
            -self.amount,
            self.amount,
            dtype="float32",
            seed=self.seed_generator,
        )
        move_y, move_x, grow = ops.split(draws, 3, axis=-1)  # (B, 1) each
        y0, x0, y1, x1 = ops.split(boxes, 4, axis=-1)
        half_y, half_x = (y1 - y0) / 2, (x1 - x0) / 2
        scale = ops.minimum(ops.exp(grow), 0.5 / ops.maximum(half_y, half_x))
        return box_around(
            (y0 + y1) / 2 + move_y * half_y,
            (x0 + x1) / 2 + move_x * half_x,
            half_y * scale,
            half_x * scale,
        )

    def compute_output_shape(self, boxes_shape):
        return boxes_shape

    def get_config(self):
        return {**super().get_config(), "amount": self.amount, "seed": self.seed}
