"""Whose label does the model doubt?"""

import numpy as np


def doubted_labels(labels, probabilities):
    """Find the images whose label is likely wrong, by confident learning.

    1. A class's threshold is the mean probability of that class over the images labeled so.
    2. A label is doubted where its probability is below its class's threshold, another class's is
       at or above its own, and the answer is not the label.

    The probabilities have to be of images that the model was not trained on. Those of a model that
    is too sure of itself do, as each class is held against its own mean.

    Source: Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels"
    (JAIR 2021), section 3.1: what lies off the diagonal of the confident joint, without the images
    whose label reaches its threshold too.

    Args:
        labels: `(N,)` integers.
        probabilities: `(N, C)`.

    Returns:
        Places among the N, the least probable label first.

    Example:
        labels = np.array([0, 0, 0, 1, 1])
        probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]])
        assert doubts.doubted_labels(labels, probabilities).tolist() == [2]
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    own = probabilities[np.arange(len(labels)), labels]  # (N,)
    classes = probabilities.shape[1]
    with np.errstate(invalid="ignore"):  # 0 / 0: no image of a class, which nothing reaches
        thresholds = np.bincount(labels, own, classes) / np.bincount(labels, minlength=classes)
    reached = probabilities >= thresholds  # (N, C)
    own_reached = reached[np.arange(len(labels)), labels]
    answers = probabilities.argmax(axis=-1)
    doubted = np.flatnonzero(~own_reached & reached.any(axis=-1) & (answers != labels))
    return doubted[np.argsort(own[doubted], kind="stable")]


def doubt_rows(places, labels, probabilities, class_names, names=None):
    """Return doubted labels as the rows of a table, and its columns.

    Args:
        places: of `doubted_labels`.
        labels: `(N,)` integers.
        probabilities: `(N, C)`.
        class_names: names in the order of the classes.
        names: the images' names; their numbers unless given.

    Returns:
        Rows of `file`, `label`, `predicted`, `label_probability` and `predicted_probability`, and
        these names.
    """
    rows = []
    for i in places:
        both = labels[i], probabilities[i].argmax()
        shares = (f"{probabilities[i, c]:.4f}" for c in both)
        rows.append([names[i] if names else i, *(class_names[c] for c in both), *shares])
    return rows, ["file", "label", "predicted", "label_probability", "predicted_probability"]
