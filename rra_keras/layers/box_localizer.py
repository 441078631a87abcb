"""A box out of a feature map, by a small head that learns from boxes."""

import keras
from keras import ops


def box_from_center(center, size):
    """Return boxes `y0 x0 y1 x1` from their centers and sizes.

    Args:
        center: `(…, 2)` as `y x`.
        size: `(…, 2)`, height and width.

    Returns:
        `(…, 4)`; it may reach beyond [0, 1].
    """
    return ops.concatenate([center - 0.5 * size, center + 0.5 * size], axis=-1)


def grow_box(boxes, margin):
    """Return boxes with `margin` of their height and width added in all, inside the image.

    1. Half of the margin is added on either side of the box, in height and in width.
    2. Clipped to [0, 1]: at the image's edge it grows inwards alone.

    Args:
        boxes: `(…, 4)` as `y0 x0 y1 x1`.
        margin: share of the box's sides; 0.5 makes them half as long again.
    """
    low, high = ops.split(boxes, 2, axis=-1)  # (…, 2) each
    reach = 0.5 * margin * (high - low)
    return ops.clip(ops.concatenate([low - reach, high + reach], axis=-1), 0.0, 1.0)


def generalized_iou(boxes, others):
    """Return the overlap of boxes, and how far apart those are that do not overlap.

    1. IoU: the area that both share, by the area that either covers.
    2. Less the share of the smallest box around both that neither covers, so that boxes apart
       have a slope towards each other.

    Args:
        boxes: `(…, 4)` as `y0 x0 y1 x1`.
        others: `(…, 4)`.

    Returns:
        `(…,)` in [-1, 1], 1 for equal boxes; finite, as its slopes are, for boxes of no area.

    Source: Rezatofighi et al., "Generalized Intersection over Union" (CVPR 2019).
    """
    low, high = ops.split(boxes, 2, axis=-1)
    other_low, other_high = ops.split(others, 2, axis=-1)
    shared = _area(ops.maximum(low, other_low), ops.minimum(high, other_high))
    covered = _area(low, high) + _area(other_low, other_high) - shared
    around = _area(ops.minimum(low, other_low), ops.maximum(high, other_high))
    tiny = 1e-7
    iou = (shared + tiny) / (covered + tiny)
    return iou - (around - covered) / (around + tiny)


def _area(low, high):
    return ops.prod(ops.relu(high - low), axis=-1)


def box_loss(targets, boxes):
    """Return how far boxes are from their targets: `1 − GIoU + L1`, `(…,)`.

    GIoU alone has no slope from a box's middle to its target's where one encloses the other; the
    mean absolute difference of the four edges has.

    Args:
        targets: `(…, 4)` as `y0 x0 y1 x1` in [0, 1].
        boxes: `(…, 4)`.
    """
    return 1.0 - generalized_iou(boxes, targets) + ops.sum(ops.abs(boxes - targets), axis=-1)


@keras.saving.register_keras_serializable("rra_keras")
class BoxLocalizer(keras.layers.Layer):
    """Box the object that a feature map shows, having learned from boxes what it looks like.

    1. `features` `(B, h, w, D)` → 3×3 convolution of `filters[0]`, stride 2, ReLU6 → 3×3
       convolution of `filters[1]`, ReLU6.
    2. All positions in one vector → `units`, ReLU6: where a thing is, pooling would forget.
    3. Four numbers, sigmoid → the box's center and its height and width → edges, `(B, 4)`.

    The last layer starts at 0: before any training the box is in the image's middle and half as
    high and wide. Started at a degenerate box it does not learn.

    One head serves every view, the whole image and a look inside it: see `fit_localizer`.

    Args:
        filters: channels of the two convolutions.
        units: width of the dense layer.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, D)`, `h` and `w` always the same.

    Output:
        `(B, 4)` float32 as `y0 x0 y1 x1` of the view that `features` were computed from. It may
        reach beyond [0, 1]: clip where it is cropped.

    Raises:
        ValueError: unless `filters` are two positive integers and `units` is positive.

    Source: Zhang et al., "Rethinking the Route Towards Weakly Supervised Object Localization"
    (CVPR 2020), PSOL: a class-agnostic regressor of boxes found by co-localisation.
    """

    def __init__(self, filters=(96, 64), units=128, **kwargs):
        super().__init__(**kwargs)
        if len(filters) != 2 or min(*filters, units) < 1:
            raise ValueError(
                "Invalid value for argument `filters` or `units`. Expected two positive integers "
                f"and a positive one. Received: filters={filters}, units={units}"
            )
        self.filters = tuple(filters)
        self.units = units
        first, second = self.filters
        options = {"padding": "same", "activation": "relu6", "dtype": self.dtype_policy}
        self.first = keras.layers.Conv2D(first, 3, strides=2, name="first", **options)
        self.second = keras.layers.Conv2D(second, 3, name="second", **options)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden = keras.layers.Dense(
            units, activation="relu6", dtype=self.dtype_policy, name="hidden"
        )
        # Half floats would move an edge by up to a pixel of a large photo.
        self.box = keras.layers.Dense(
            4,
            kernel_initializer="zeros",
            activation="sigmoid",
            dtype="float32",
            name="box",
        )

    def build(self, features_shape):
        shape = features_shape
        for layer in (self.first, self.second, self.flatten, self.hidden, self.box):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, features):
        x = self.second(self.first(features))  # (B, h / 2, w / 2, filters[1])
        numbers = self.box(self.hidden(self.flatten(x)))  # (B, 4) in (0, 1)
        center, size = ops.split(numbers, 2, axis=-1)
        return box_from_center(center, size)

    def compute_output_shape(self, features_shape):
        return (features_shape[0], 4)

    def compute_output_spec(self, features):
        return keras.KerasTensor(self.compute_output_shape(features.shape), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "units": self.units}
