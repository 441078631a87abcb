"""Which classes are told apart, and which are not."""

import numpy as np


def confusion_matrix(labels, answers, num_classes):
    """Return how often each class was taken for each, `(C, C)`: rows are labels."""
    pairs = np.asarray(labels) * num_classes + np.asarray(answers)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class(matrix):
    """Return each class's figures from a confusion matrix `(C, C)`.

    Returns:
        a list of dicts: `images` of the class; `recall`, the share of them named right;
        `precision`, the share of right ones among answers of the class. `None` where undefined.
    """
    right, images, answered = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        {
            "images": int(images[c]),
            "recall": float(right[c] / images[c]) if images[c] else None,
            "precision": float(right[c] / answered[c]) if answered[c] else None,
        }
        for c in range(len(matrix))
    ]


def confused_pairs(matrix, most=6):
    """Return the pairs of classes that are taken for one another most often.

    Args:
        matrix: `(C, C)`, rows are labels.
        most: pairs to return, at most; none without a mistake.

    Returns:
        a list of `(a, b)`, `a` being the one that is mistaken for the other more often.
    """
    both = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(matrix)) for place in order if both.flat[place]]
    return [(a, b) if matrix[a, b] >= matrix[b, a] else (b, a) for a, b in pairs]


def surest_errors(labels, probabilities, most=6):
    """Return the wrong answers that were given with the highest probability.

    Args:
        labels: `(N,)` integers.
        probabilities: `(N, C)`.
        most: images to return, at most.

    Returns:
        their places among the N, the surest first.
    """
    answers = probabilities.argmax(-1)
    wrong = np.flatnonzero(answers != labels)
    sure = probabilities[wrong, answers[wrong]]
    return wrong[np.argsort(-sure, kind="stable")[:most]].tolist()
