"""Do the probabilities mean what they say?"""

import numpy as np


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
