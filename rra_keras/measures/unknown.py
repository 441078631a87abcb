"""Is a photo of any of the classes at all? Each score is the higher, the more it is like theirs."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

KEPT = 0.95  # share of the classes' own photos that a threshold lets pass


def max_logit(logits):
    """Return the greatest logit: `(N, C)` → `(N,)`.

    Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings" (ICML
    2022); for fine-grained classes Vaze et al., "Open-Set Recognition" (ICLR 2022).
    """
    return np.max(logits, axis=-1)


def energy(logits):
    """Return the negative free energy, log Σ exp(logits): `(N, C)` → `(N,)`.

    Source: Liu et al., "Energy-based Out-of-distribution Detection" (NeurIPS 2020), at T = 1.
    """
    return logsumexp(logits, axis=-1)


def fit_threshold(scores, kept=KEPT):
    """Return the greatest of the scores that at least a share `kept` of them reach.

    Of fewer than 1 / (1 - kept) scores, all reach it: it is the least.

    Example:
        scores = model.view("score").predict(images, verbose=0)["score"]
        model.known_from = unknown.fit_threshold(scores[:, 0])

    Args:
        scores: `(N,)`, of photos of the classes that were not trained on; N ≥ 1.
        kept: in [0, 1].

    Raises:
        ValueError: if there is no score.
    """
    if not len(scores):
        raise ValueError("Invalid value for argument `scores`. Expected one or more. Received none")
    return float(np.quantile(scores, 1 - kept, method="lower"))


def is_known(scores, known_from):
    """Tell which photos are of any of the classes: `(N,)` → booleans `(N,)`.

    Args:
        scores: `(N,)`.
        known_from: the least score of those that are; `None` for all.
    """
    return np.asarray(scores) >= (-np.inf if known_from is None else known_from)


def class_means(features, labels):
    """Return each class' mean feature: `(N, D)` and integers `(N,)` → `(C, D)`.

    Every class from 0 to the greatest label needs a photo.
    """
    return np.stack([features[labels == c].mean(axis=0) for c in range(labels.max() + 1)])


def nearest_mean(features, means):
    """Return the negative distance to the nearest class mean: `(N, D)`, `(C, D)` → `(N,)`."""
    return -cdist(features, means).min(axis=-1)


def mahalanobis(features, means, covariance):
    """Return the negative Mahalanobis distance to the nearest class mean: `(N, D)` → `(N,)`.

    Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks" (NeurIPS 2018), of the last features alone.

    Args:
        features: `(N, D)`.
        means: `(C, D)`.
        covariance: `(D, D)`, shared by the classes; positive definite.
    """
    root = cholesky(covariance, lower=True)
    whitened = (solve_triangular(root, each.T, lower=True).T for each in (features, means))
    return nearest_mean(*whitened)


def shrunk_covariance(centered):
    """Return the covariance of features, shrunk toward that of a sphere of the same variance.

    With fewer photos than features, or not many more, the sample's own covariance cannot be
    inverted, or misleads where it is.

    Source: Chen et al., "Shrinkage Algorithms for MMSE Covariance Estimation" (IEEE Transactions on
    Signal Processing 2010), oracle approximating shrinkage (equation 23).

    Args:
        centered: `(N, D)`, less the mean of each one's class.

    Returns:
        `(D, D)`, positive definite.

    Raises:
        ValueError: if the features do not vary within classes, so that nothing is near or far.
    """
    count, width = centered.shape
    sample = centered.T @ centered / max(count, 1)
    trace, square = np.trace(sample), np.sum(sample**2)
    if not trace > 0:
        raise ValueError(
            "Invalid value for argument `centered`. Expected features that vary within classes. "
            f"Received: {count} that are all alike"
        )
    most = (count + 1 - 2 / width) * (square - trace**2 / width)
    share = 1.0 if most <= 0 else min(1.0, ((1 - 2 / width) * square + trace**2) / most)
    return (1 - share) * sample + share * trace / width * np.eye(width)


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
    """Return what `rra_keras.layers.KnownScore.learn` takes, of photos of the classes.

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
