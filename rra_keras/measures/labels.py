"""Labels in either form: integers, one a photo; or a row of 0 and 1, one for each class."""

import numpy as np

SEPARATOR = ";"  # between the labels of a photo, in tables


def several(labels):
    """Whether labels are rows of 0 and 1, `(N, C)`, of which a photo may have any number."""
    return np.ndim(labels) == 2


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
