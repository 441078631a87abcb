"""A box out of a feature map, by a small head that learns from boxes."""

import math

import keras
import numpy as np
from keras import ops

from rra_keras.layers.fixations import fixation_boxes
from rra_keras.layers.localizer import Localizer

QUARTER = math.log(3)  # less than 0, it is a quarter through a sigmoid


def cast_votes(votes, span=None):
    """Return what each position of a map votes for, and how much that counts.

    1. Each position votes by five numbers: how much its vote counts, and how far the box's edges
       are above it, to its left, below it and to its right. Through a sigmoid, in sides of the map,
       or of one of `span` cells; 0 is a quarter of one.
    2. Softmax over all positions weighs the votes.

    The same numbers elsewhere in the map are the same box elsewhere.

    Args:
        votes: `(B, h, w, 5)`.
        span: cells of a map that distances are measured by; the votes' own unless given.

    Returns:
        `(B, P)`, which add up to 1, and boxes `(B, P, 4)`, `y0 x0 y1 x1` in the map's frame, which
        may reach beyond [0, 1]; `P = h · w`.

    Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (ICCV 2019), whose
    positions give the distances of four edges.
    """
    height, width = votes.shape[1:3]
    counts, distances = ops.split(votes, [1], axis=-1)
    # GPU delegates know softmax only over the last axis.
    counts = ops.reshape(counts, (-1, height * width))
    # Keras warns of a softmax over a single position; its share is 1, and nothing moves it.
    counts = ops.softmax(counts) if height * width > 1 else ops.exp(0.0 * counts)
    distances = ops.sigmoid(distances - QUARTER)
    if span and (height, width) != (span, span):
        distances = distances * np.array([span / height, span / width] * 2, "float32")
    low, high = ops.split(distances, 2, axis=-1)
    positions = cell_centers(height, width)
    boxes = ops.concatenate([positions - low, positions + high], axis=-1)  # (B, h, w, 4)
    return counts, ops.reshape(boxes, (-1, height * width, 4))


def cell_centers(height, width):
    """Return the centers of a map's cells, `(h, w, 2)` as `y x` in [0, 1]."""
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).astype("float32")


@keras.saving.register_keras_serializable("rra_keras")
class BoxLocalizer(Localizer):
    """Box the object that a feature map shows, having learned from boxes what it looks like.

    1. `features` `(B, h, w, D)` → 3×3 convolutions of each of `filters`, ReLU6 → 1×1 convolution
       of 5: `(B, h, w, 5)`.
    2. The positions vote (`cast_votes`). The place that most votes are for → `(B, 4)`
       (`fixation_boxes`).

    What it learns of an object in one place it knows in all. A small object is near one position,
    and the vote is that position's; a dense layer over all of them has to learn each place.

    The last layer starts at 0: before any training the box is in the image's middle and half as
    high and wide. Started at a degenerate box it does not learn.

    One head serves every view, the glance and the closer ones: see `fit_localizer`.

    Args:
        filters: channels of the convolutions.
        span: cells of a map whose side is as long as a distance may be; each map's own unless
            given. With it, an object that takes as many cells in a large map as in a small one
            gets the same numbers: for a glance that is larger than the views.
        **kwargs: `keras.layers.Layer`'s own.

    Example:
        localizer = rra_keras.BoxLocalizer()
        boxes = localizer(np.ones((2, 8, 8, 112)))  # (2, 4): half of the middle, until it learns

    Call and output as `Localizer`'s, but that a box may reach beyond [0, 1]: clip it where it is
    cropped.

    Raises:
        ValueError: unless `filters` are positive integers, one at least, and `span` is one or
            `None`.

    Source: Zhang et al., "Rethinking the Route Towards Weakly Supervised Object Localization"
    (CVPR 2020), PSOL: a class-agnostic regressor of boxes found by co-localization.
    """

    def __init__(self, filters=(96, 64), span=None, **kwargs):
        super().__init__(**kwargs)
        if min(filters, default=0) < 1:
            raise ValueError(
                "Invalid value for argument `filters`. Expected positive integers, one at least. "
                f"Received: filters={filters}"
            )
        if span is not None and span < 1:
            raise ValueError(
                "Invalid value for argument `span`. Expected a positive integer or None. "
                f"Received: span={span}"
            )
        self.filters = tuple(filters)
        self.span = span
        options = {"padding": "same", "dtype": self.dtype_policy}
        self.convolutions = [
            keras.layers.Conv2D(count, 3, activation="relu6", name=f"conv_{i}", **options)
            for i, count in enumerate(self.filters)
        ]
        self.vote = keras.layers.Conv2D(5, 1, kernel_initializer="zeros", name="vote", **options)

    def build(self, features_shape):
        shape = features_shape
        for layer in (*self.convolutions, self.vote):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, features):
        boxes, _ = self.propose(features, 1)
        return ops.squeeze(boxes, axis=1)  # GPU delegates do not know slices that drop an axis

    def votes(self, features):
        """Return what the positions of features `(B, h, w, D)` vote for, `(B, h, w, 5)`."""
        x = features
        for layer in self.convolutions:
            x = layer(x)
        return self.vote(x)

    def propose(self, features, count):
        """Return the places that most votes are for: boxes `(B, K, 4)`, and votes `(B, K)`.

        See `fixation_boxes`.
        """
        counts, boxes = cast_votes(self.votes(features), self.span)
        positions = cell_centers(*features.shape[1:3]).reshape(-1, 2)
        return fixation_boxes(counts, boxes, positions, count)

    @property
    def learned(self):
        """Whether it knows where objects are: as it starts, its box is the same for every view."""
        if not self.vote.built:
            return False
        return any(ops.any(ops.not_equal(variable, 0)) for variable in self.vote.weights)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "span": self.span}
