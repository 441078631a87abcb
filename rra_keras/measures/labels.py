"""Labels in either form: integers, one a photo; or a row of 0 and 1, one for each class."""

import numpy as np

SEPARATOR = ";"  # between the labels of a photo, in tables


def several(labels):
    """Whether labels are rows of 0 and 1, `(N, C)`, of which a photo may have any number."""
    return np.ndim(labels) == 2


def one_hot(labels):
    """Return labels `(N,)`, whatever integers, as rows of 0 and 1: `(N, C)` float32.

    Example:
        from rra_keras.measures.labels import one_hot

        assert one_hot([7, 3]).tolist() == [[0, 1], [1, 0]]
    """
    classes, place = np.unique(labels, return_inverse=True)
    return np.eye(len(classes), dtype="float32")[place]


def listed(labels):
    """Return the classes that each photo has, `(N, M)` integers, -1 where it has fewer than M.

    Args:
        labels: `(N, C)` of 0 and 1.

    Example:
        from rra_keras.measures.labels import listed

        assert listed([[1, 0, 1], [0, 1, 0]]).tolist() == [[0, 2], [1, -1]]
    """
    there = np.asarray(labels) > 0
    most = max(there.sum(axis=1).max(initial=0), 1)
    order = np.argsort(~there, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(there, order, axis=1), order, -1)


def rarest(labels):
    """Return one label for each photo: that which the fewest photos have.

    So that photos with several labels can be drawn, split and compared by class, and no class is
    hidden behind a frequent one.

    Args:
        labels: `(N,)` integers, which stay as they are; or `(N, C)` of 0 and 1.

    Returns:
        `(N,)` integers; C for a photo without any label.

    Example:
        from rra_keras.measures.labels import rarest

        assert rarest([[1, 1, 0], [1, 0, 0], [0, 0, 0]]).tolist() == [1, 0, 3]
    """
    labels = np.asarray(labels)
    if not several(labels):
        return labels
    count = labels.sum(axis=0)
    frequency = np.where(labels > 0, count, np.inf)  # (N, C)
    return np.where(labels.any(axis=1), frequency.argmin(axis=1), labels.shape[1])
