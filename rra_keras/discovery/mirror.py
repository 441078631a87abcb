"""Whether photos may be mirrored in training, or whether left and right tell classes apart."""

import numpy as np

from rra_keras.discovery.probe import CLASS_RIDGE, cross_fitted, folds_by_class, linear_kernel
from rra_keras.discovery.rounds import MARGIN
from rra_keras.discovery.views import make_viewer, see
from rra_keras.layers.boxes import grow_box
from rra_keras.measures.labels import rarest

ERRORS = 4.0  # standard errors by which mirrored photos have to be more like other classes
FOLDS = 5
DRAWS = 3  # of folds, whose scores are averaged


def may_be_mirrored(encoder, photos, labels, boxes, size=128, seed=0):
    """Tell whether photos may be mirrored, or whether mirrored ones look like other classes.

    Half of the photos are mirrored in training, as most things look the same from both sides. Left
    and right shoes do not: mirrored, a photo of the one shows the other.

    1. The frozen encoder sees a crop of each object, as it is and mirrored. Its features, position
       by position: pooled, they would hardly differ.
    2. A linear probe learns the classes from the crops as they are, and scores those of each fold,
       both ways, by the photos of the others; three times, on average.
    3. Of each photo, how much is it like that class which it is most like, of those that it is not?
       If mirroring raises that on average, by four standard errors, photos must stay as they are.

    What mirrored looks like no class, such as letters, raises nothing: it may be mirrored.

    Args:
        encoder: a `keras.Model` from images `(B, size, size, 3)`, 0…255, to a feature map, or to a
            list that starts with it.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N, C)` of 0 and 1.
        boxes: `(N, 4)`, the objects, `y0 x0 y1 x1` in [0, 1].
        size: side of the crops, pixels.
        seed: sets the folds.

    Returns:
        A bool.

    Example:
        encoder = backbones.build_encoder("efficientnet_lite0", train_from="block_11")
        middle = np.tile(np.float32([0.25, 0.25, 0.75, 0.75]), (9, 1))
        discovery.may_be_mirrored(encoder, images, np.eye(3)[labels], middle, size=32)
    """
    count, labels = len(photos), np.asarray(labels) > 0
    some = ~labels.all(axis=1)
    if not some.any():
        return True  # there is no other class
    crops = np.asarray(grow_box(boxes, MARGIN), "float32")
    views = np.stack([crops, crops[:, [0, 3, 2, 1]]], axis=1)  # from right to left
    viewer = make_viewer(encoder, photos, 2, size)
    seen = see(viewer, photos, views, description="Trying mirrored photos")  # (N, 2, h, w, D)
    kernel = linear_kernel(seen.swapaxes(0, 1).reshape(2 * count, -1))
    targets, as_is = np.tile(labels, (2, 1)).astype("float64"), np.arange(2 * count) < count
    folds = (folds_by_class(rarest(labels), FOLDS, seed + draw) for draw in range(DRAWS))
    scores = np.mean(
        [cross_fitted(kernel, targets, np.tile(f, 2), CLASS_RIDGE, as_is) for f in folds], axis=0
    )
    before, after = (likest_other(each[some], labels[some]) for each in np.split(scores, 2))
    raised = after - before
    return bool(raised.sum() <= ERRORS * np.sqrt(len(raised)) * np.std(raised))


def likest_other(scores, labels):
    """Return the highest score of each photo among the classes that it is not of, `(N,)`.

    Args:
        scores: `(N, C)`.
        labels: `(N, C)` booleans; no photo is of all classes.
    """
    return np.where(labels, -np.inf, scores).max(axis=1)
