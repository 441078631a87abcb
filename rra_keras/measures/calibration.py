"""Do the probabilities mean what they say?"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

TEMPERATURES = (0.05, 20.0)  # the least and the greatest that is fitted


def probabilities(logits, temperature=1.0):
    """Return softmax(logits / temperature): logits `(…, C)` → probabilities `(…, C)`."""
    return softmax(np.asarray(logits) / temperature, axis=-1)


def fit_temperature(logits, labels):
    """Return the temperature at which probabilities mean most nearly what they say.

    The T in `TEMPERATURES` that minimizes, in log T, the labels' negative log-likelihood under
    softmax(logits / T), summed over the photos, plus (log T)² / 2. The last term counts where
    photos tell little: without it, a few that are all named right would give the least T, and none
    at all would give any. With some hundred photos it hardly matters.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2, with a
    standard normal prior on log T.

    Example:
        logits = model.predict(images, verbose=0)
        model.calibration.temperature = calibration.fit_temperature(logits, labels)

    Args:
        logits: `(N, C)`, of photos that were not trained on.
        labels: `(N,)` integers.

    Returns:
        A float, above 1 for a model that is surer than it is right.
    """
    logits = np.asarray(logits, "float64")
    own = np.take_along_axis(logits, np.asarray(labels, int)[:, None], axis=-1)[:, 0]  # (N,)

    def loss(log_temperature):
        scale = np.exp(-log_temperature)
        return np.sum(logsumexp(scale * logits, axis=-1) - scale * own) + log_temperature**2 / 2

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def reliability(confidence, correct, bins=15):
    """Group answers by their confidence, in bins of equal width.

    Args:
        confidence: `(N,)`, the answer's probability, in [0, 1].
        correct: `(N,)` booleans.
        bins: number of bins; bin i holds the confidences in (i / bins, (i + 1) / bins].

    Returns:
        dict of arrays `(bins,)`: `count`, and mean `confidence` and `accuracy`, NaN where empty.
    """
    index = np.clip(np.ceil(np.asarray(confidence) * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return {
            "count": count,
            "confidence": np.bincount(index, confidence, bins) / count,
            "accuracy": np.bincount(index, correct, bins) / count,
        }


def expected_calibration_error(groups):
    """Return the mean distance of confidence from accuracy, each bin by its share of answers.

    Source: Naeini et al. (AAAI 2015), Guo et al., "On Calibration of Modern Neural Networks"
    (ICML 2017).

    Args:
        groups: from `reliability`.
    """
    gaps = np.nan_to_num(np.abs(groups["confidence"] - groups["accuracy"]))
    return float(np.average(gaps, weights=groups["count"]))


def calibration_errors(logits, labels, temperature):
    """Return the expected calibration error of answers at a temperature, and before it.

    Args:
        logits: `(N, C)`.
        labels: `(N,)` integers.
        temperature: as in `probabilities`.

    Returns:
        dict of `calibration_error` and `calibration_error_before`, at temperature 1.
    """

    def error(temperature):
        shares = probabilities(logits, temperature)
        right = shares.argmax(-1) == labels
        return expected_calibration_error(reliability(shares.max(axis=-1), right))

    return {
        "calibration_error": error(temperature),
        "calibration_error_before": error(1.0),
    }
