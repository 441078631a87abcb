"""Boxes at the highest peaks of a map, apart from one another."""

import keras
from keras import ops

from rra_keras.layers.boxes import box_around

APART = 0.6  # of a box's sides, along one axis at least: an IoU of about 0.25 at most


def peak_boxes(evidence, count, side):
    """Return boxes of one size at a map's highest peaks.

    1. The highest position, and the center of mass of it and its eight neighbors → a box's center.
    2. The box is moved until it is inside [0, 1].
    3. What is nearer to the box's center than `APART` of its sides, along both axes, is left out;
       then again: another place each time. A map that is used up, or even, gives its middle.

    Args:
        evidence: `(B, h, w)`, at least 0.
        count: boxes.
        side: height and width of the boxes, in (0, 1].

    Returns:
        `(B, count, 4)` float32 as `y0 x0 y1 x1` in [0, 1], the highest peak's first.
    """
    evidence = ops.cast(evidence, "float32")
    height, width = evidence.shape[1:]
    y = ops.reshape((ops.arange(height, dtype="float32") + 0.5) / height, (1, height, 1))
    x = ops.reshape((ops.arange(width, dtype="float32") + 0.5) / width, (1, 1, width))
    half = 0.5 * side
    boxes = []
    for _ in range(count):
        # No argmax: GPU delegates know few, and equal peaks are all of them.
        highest = ops.max(evidence, axis=(1, 2), keepdims=True)
        peak = ops.cast(evidence >= highest, "float32")
        near = ops.max_pool(ops.expand_dims(peak, -1), 3, 1, "same", data_format="channels_last")
        mass = near[..., 0] * evidence + 1e-6 * peak
        total = ops.sum(mass, axis=(1, 2), keepdims=True)
        center_y, center_x = (
            ops.sum(mass * at, axis=(1, 2), keepdims=True) / total for at in (y, x)
        )  # (B, 1, 1) each
        box = box_around(center_y[..., 0], center_x[..., 0], half, half)
        boxes.append(box)
        center_y, center_x = (
            ops.reshape(0.5 * (box[:, edge] + box[:, edge + 2]), (-1, 1, 1)) for edge in (0, 1)
        )
        away = ops.maximum(ops.abs(y - center_y), ops.abs(x - center_x)) >= APART * side
        evidence = evidence * ops.cast(away, "float32")
    return ops.stack(boxes, axis=1)


@keras.saving.register_keras_serializable("rra_keras")
class PeakBoxes(keras.layers.Layer):
    """Box the highest peaks of a map, apart from one another (`peak_boxes`).

    Args:
        count: boxes.
        side: height and width of the boxes, as a share of the map's.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        evidence: `(B, h, w)`, at least 0.

    Output:
        `(B, count, 4)` float32 as `y0 x0 y1 x1` in [0, 1].

    Raises:
        ValueError: unless `count` is positive and `side` in (0, 1].

    Example:
        evidence = np.random.default_rng(0).uniform(size=(2, 7, 7))
        boxes = rra_keras.layers.PeakBoxes(count=2, side=0.3)(evidence)  # (2, 2, 4)
    """

    def __init__(self, count, side, **kwargs):
        kwargs.setdefault("dtype", "float32")  # an edge needs it
        super().__init__(**kwargs)
        if not (count >= 1 and 0 < side <= 1):
            raise ValueError(
                "Invalid value for argument `count` or `side`. Expected a positive integer and a "
                f"share in (0, 1]. Received: count={count}, side={side}"
            )
        self.count = count
        self.side = side

    def call(self, evidence):
        return peak_boxes(evidence, self.count, self.side)

    def compute_output_shape(self, evidence_shape):
        return (evidence_shape[0], self.count, 4)

    def get_config(self):
        return {**super().get_config(), "count": self.count, "side": self.side}
