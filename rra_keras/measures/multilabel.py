"""Photos with any number of labels: how well each is found, and from which probability on."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from rra_keras.measures.calibration import (
    TEMPERATURES,
    expected_calibration_error,
    reliability,
)


def average_precision(scores, labels):
    """Return each class' average precision: the mean precision at the rank of each of its photos.

    Args:
        scores: `(N, C)`; a tie is broken against the class.
        labels: `(N, C)` of 0 and 1.

    Returns:
        `(C,)` in [0, 1], NaN for a class that no photo has.

    Example:
        from rra_keras.measures.multilabel import average_precision

        assert average_precision([[0.9], [0.8]], [[0], [1]]).tolist() == [0.5]
    """
    scores, labels = np.asarray(scores, "float64"), np.asarray(labels) > 0
    found = np.full(scores.shape[1], np.nan)
    for c in range(scores.shape[1]):
        order = np.lexsort((labels[:, c], -scores[:, c]))
        right = labels[order, c]
        if right.any():
            precision = np.cumsum(right) / np.arange(1, len(right) + 1)
            found[c] = precision[right].mean()
    return found


def r_precision(scores, labels):
    """Return the share of each photo's labels among as many classes of the highest scores.

    Of a photo with one label it is 1 if that has the highest score, and 0 otherwise.

    Args:
        scores: `(N, C)`.
        labels: `(N, C)` of 0 and 1.

    Returns:
        `(N,)` in [0, 1]; 0 for a photo without a label.

    Example:
        from rra_keras.measures.multilabel import r_precision

        assert r_precision([[0.9, 0.8, 0.1]], [[1, 0, 1]]).tolist() == [0.5]
    """
    there = np.asarray(labels) > 0
    count = there.sum(axis=1)
    order = np.argsort(-np.asarray(scores), axis=1, kind="stable")
    among = np.arange(there.shape[1]) < count[:, None]  # (N, C), by rank
    hits = (np.take_along_axis(there, order, axis=1) & among).sum(axis=1)
    return hits / np.maximum(count, 1)


def f1(said, labels):
    """Return each class' F1, `2 · hits / (said + there)`.

    Args:
        said: `(N, C)` booleans.
        labels: `(N, C)` of 0 and 1.

    Returns:
        `(C,)`; 0 for a class that is said, or there, and never both; NaN for one that is neither.
    """
    said, there = np.asarray(said) > 0, np.asarray(labels) > 0
    with np.errstate(invalid="ignore"):
        return 2 * (said & there).sum(axis=0) / (said.sum(axis=0) + there.sum(axis=0))


def micro_f1(said, labels):
    """Return the F1 of all answers together, 0 where nothing is said and nothing there."""
    said, there = np.asarray(said) > 0, np.asarray(labels) > 0
    return float(2 * (said & there).sum() / max(said.sum() + there.sum(), 1))


def fit_thresholds(probabilities, labels, usual=0.5):
    """Return, for each class, the probability from which on it is said: that of the greatest F1.

    Between two photos' probabilities, so that rounding moves none. A class with fewer than two
    photos keeps the `usual` one.

    Args:
        probabilities: `(N, C)`, of photos that were not trained on.
        labels: `(N, C)` of 0 and 1.
        usual: where there is nothing to learn from.

    Returns:
        `(C,)` float32 in [0, 1].
    """
    shares, labels = np.asarray(probabilities, "float64"), np.asarray(labels) > 0
    chosen = np.full(shares.shape[1], usual)
    for c in np.flatnonzero(labels.sum(axis=0) >= 2):
        order = np.argsort(-shares[:, c], kind="stable")
        hits = np.cumsum(labels[order, c])
        scores = 2 * hits / (np.arange(1, len(order) + 1) + labels[:, c].sum())
        best = int(scores.argmax())
        sorted_shares = shares[order, c]
        below = sorted_shares[best + 1] if best + 1 < len(order) else 0.0
        chosen[c] = (sorted_shares[best] + below) / 2
    return chosen.astype("float32")


def fit_temperature(logits, labels):
    """Return the temperature at which sigmoids mean most nearly what they say.

    As `rra_keras.measures.calibration.fit_temperature`, with the labels' likelihood under
    sigmoid(logits / T), summed over photos and classes.

    Args:
        logits: `(N, C)`, of photos that were not trained on.
        labels: `(N, C)` of 0 and 1.
    """
    logits, sign = np.asarray(logits, "float64"), 2.0 * (np.asarray(labels) > 0) - 1.0

    def loss(log_temperature):
        scaled = np.exp(-log_temperature) * logits
        return np.logaddexp(0.0, -sign * scaled).sum() + log_temperature**2 / 2

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def calibration_error(logits, labels, temperature):
    """Return the expected calibration error of all sigmoids, each a yes or a no."""
    shares = expit(np.asarray(logits, "float64") / temperature).ravel()
    there = np.asarray(labels).ravel() > 0
    sure = np.maximum(shares, 1 - shares)
    return expected_calibration_error(reliability(sure, (shares >= 0.5) == there))
