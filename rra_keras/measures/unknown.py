"""Is a photo of any of the classes at all? Each score is the higher, the more it is like theirs."""

import numpy as np

KEPT = 0.95  # share of the classes' own photos that a threshold lets pass


def max_logit(logits):
    """Return the greatest logit: `(N, C)` → `(N,)`.

    Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings" (ICML
    2022); for fine-grained classes Vaze et al., "Open-Set Recognition" (ICLR 2022).
    """
    return np.max(logits, axis=-1)


def fit_threshold(scores, kept=KEPT):
    """Return a threshold that at least a share `kept` of the scores reach.

    It lies half-way between the least score that is to reach it and the next lower one, so that
    rounding, as on a device, puts none of them on the other side. Of fewer than 1 / (1 - kept)
    scores all reach it: it is a hair below the least.

    Example:
        scores = model.view("score").predict(images, verbose=0)["score"]
        model.calibration.known_from = unknown.fit_threshold(scores[:, 0])

    Args:
        scores: `(N,)`, of photos of the classes that were not trained on; N ≥ 1.
        kept: in [0, 1].

    Raises:
        ValueError: if there is no score.
    """
    if not len(scores):
        raise ValueError("Invalid value for argument `scores`. Expected one or more. Received none")
    scores = np.sort(np.asarray(scores, "float64"))
    least = int(np.floor((1 - kept) * (len(scores) - 1) + 1e-9))
    below = scores[least - 1] if least else scores[0] - 0.01 * max(np.ptp(scores), 1e-3)
    return float((scores[least] + below) / 2)


def is_known(scores, known_from):
    """Tell which photos are of any of the classes: `(N,)` → booleans `(N,)`.

    Args:
        scores: `(N,)`.
        known_from: the least score of those that are; `None` for all.
    """
    return np.asarray(scores) >= (-np.inf if known_from is None else known_from)


def principal_space(features, count):
    """Return the mean and the `count` directions in which features vary most.

    Args:
        features: `(N, D)`.
        count: K, at most N and D.

    Returns:
        `(D,)` and `(K, D)`, orthonormal rows.
    """
    mean = features.mean(axis=0)
    _, _, directions = np.linalg.svd(features - mean, full_matrices=False)
    return mean, directions[:count]


def residual(features, mean, directions):
    """Return how far features lie outside of a space of `principal_space`: `(N, D)` → `(N,)`."""
    centered = features - mean
    return np.linalg.norm(centered - centered @ directions.T @ directions, axis=-1)


def fit_known_score(logits, features, count):
    """Return what `rra_keras.layers.Calibration.learn` takes, of photos of the classes.

    1. The space of `count` dimensions in which their features vary most.
    2. The scale by which the mean residual outside of it is the mean greatest logit.

    Source: Wang et al., "ViM: Out-of-Distribution with Virtual-logit Matching" (CVPR 2022).

    Args:
        logits: `(N, C)`.
        features: `(N, D)`.
        count: of dimensions, at most; of few photos, an eighth as many, as others lie outside of a
            space that was fitted to these closely; half as many as features.

    Returns:
        The features' mean `(D,)`, directions `(K, D)`, and the scale; 0 where nothing is outside.
    """
    photos, width = features.shape
    mean, directions = principal_space(features, min(count, photos // 8, width // 2))
    outside = residual(features, mean, directions).mean()
    scale = max_logit(logits).mean() / outside if outside > 1e-6 else 0.0
    return mean, directions, float(max(scale, 0.0))


def auroc(known, unknown):
    """Return the area under the ROC curve: how often a known photo has the higher score.

    Args:
        known: `(N,)`, scores of photos of the classes.
        unknown: `(M,)`, of others; a tie counts half.
    """
    ordered = np.sort(unknown)
    lower = np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")
    return float(lower.mean() / 2 / len(unknown))


def false_positive_rate(known, unknown, kept=KEPT):
    """Return the share of unknown photos that pass the threshold that `kept` of the known pass."""
    return float(np.mean(np.asarray(unknown) >= fit_threshold(known, kept)))
