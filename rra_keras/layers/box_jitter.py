"""Boxes moved at random while training, so that crops vary as boxes found by a model do."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("rra_keras")
class BoxJitter(keras.layers.Layer):
    """Move and scale each box at random in training; leave it alone otherwise.

    1. Center: moved by up to `shift` of the box's height and width, evenly.
    2. Height and width: multiplied by e^u, u even in ±`scale`, each by its own.

    Args:
        shift: most by which a box moves, as a share of its sides.
        scale: most by which the logarithm of a side changes.
        seed: of the moves; drawn unless given.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        boxes: `(…, 4)` as `y0 x0 y1 x1`.
        training: whether to move them.

    Output:
        `(…, 4)` float32; a box at the image's edge may reach beyond it.

    Raises:
        ValueError: if `shift` or `scale` is negative.

    Example:
        boxes = np.array([[0.2, 0.2, 0.6, 0.6]])
        moved = rra_keras.layers.BoxJitter(seed=0)(boxes, training=True)  # (1, 4)
    """

    def __init__(self, shift=0.1, scale=0.15, seed=None, **kwargs):
        kwargs.setdefault("dtype", "float32")  # an edge needs it
        super().__init__(**kwargs)
        if not (shift >= 0 and scale >= 0):
            raise ValueError(
                "Invalid value for argument `shift` or `scale`. Expected 0 or above. "
                f"Received: shift={shift}, scale={scale}"
            )
        self.shift = shift
        self.scale = scale
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, boxes, training=None):
        if not training:
            return boxes
        draws = keras.random.uniform(
            ops.shape(boxes), -1.0, 1.0, dtype="float32", seed=self.seed_generator
        )
        move, stretch = ops.split(draws, 2, axis=-1)  # (…, 2) each
        low, high = ops.split(boxes, 2, axis=-1)
        sides = high - low
        center = 0.5 * (low + high) + self.shift * move * sides
        half = 0.5 * sides * ops.exp(self.scale * stretch)
        return ops.concatenate([center - half, center + half], axis=-1)

    def compute_output_shape(self, boxes_shape):
        return boxes_shape

    def get_config(self):
        own = {"shift": self.shift, "scale": self.scale, "seed": self.seed}
        return {**super().get_config(), **own}
