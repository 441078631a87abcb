"""Does focus narrow from step to step? Measured, with an interval, against shuffled steps."""

import numpy as np
from scipy import stats


def area_above_half(maps):
    """Return the share of each map `(…, G, G)` that reaches half of its maximum; NaN if all 0."""
    most = maps.max(axis=(-2, -1), keepdims=True)
    share = np.mean(maps >= most / 2, axis=(-2, -1))
    return np.where(most[..., 0, 0] > 0, share, np.nan)


def entropy(maps):
    """Return how evenly each map `(…, G, G)` is spread: its entropy by that of an even one.

    1 for an even map, 0 for a single place; NaN for a map that is all 0.
    """
    flat = maps.reshape(*maps.shape[:-2], -1).astype("float64")
    with np.errstate(invalid="ignore"):  # 0 / 0
        return stats.entropy(flat, axis=-1) / np.log(flat.shape[-1])


def slopes(values):
    """Return each row's change a step: the slope of its least-squares line.

    Args:
        values: `(N, T)`, T at least 2; a row with a NaN gives NaN.

    Returns:
        `(N,)`.
    """
    steps = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    return values @ steps / np.sum(steps**2)


def interval(values, level=0.95, seed=0):
    """Return the bootstrap interval of a mean over images, `(low, high)`.

    Args:
        values: `(N,)`; NaNs are left out. Fewer than two give NaNs.
        level: of confidence.
        seed: of the 2,000 resamples.
    """
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def trend(values, shuffles=1000, seed=0):
    """Return how a measure runs over the steps, beside what shuffled steps would show.

    Args:
        values: `(N, T)`, the measure on N images at T steps; images with a NaN are left out.
        shuffles: how often every image's steps are put in random order.
        seed: of the bootstrap and of the shuffling.

    Returns:
        dict of `mean` at each step; the mean `slope` a step with its 95 % `interval` over images;
        `shuffled_interval`, which holds the mean slope in 95 % of the shuffles; and `images` that
        could be measured. Slopes are NaN for a single step, or no image.
    """
    kept = values[~np.isnan(values).any(axis=1)]
    found = {"images": len(kept), "mean": kept.mean(axis=0).tolist() if len(kept) else []}
    if values.shape[1] < 2 or not len(kept):
        nan = float("nan")
        return found | {"slope": nan, "interval": (nan, nan), "shuffled_interval": (nan, nan)}
    rng = np.random.default_rng(seed)
    mixed = [slopes(rng.permuted(kept, axis=1)).mean() for _ in range(shuffles)]
    low, high = np.percentile(mixed, [2.5, 97.5])
    slope = slopes(kept)
    return found | {
        "slope": float(slope.mean()),
        "interval": interval(slope, seed=seed),
        "shuffled_interval": (float(low), float(high)),
    }


def verdict(trend, least=0.01):
    """Say what a `trend` shows: `"narrows"`, `"widens"` or `"stays"`.

    It stays where the interval holds 0 or is unknown, and where the whole change is under `least`
    of the first step's mean: many images make the smallest change certain, but not worth a word.
    """
    low, high = trend["interval"]
    mean = trend["mean"]
    certain = low > 0 or high < 0
    if not certain or abs(mean[-1] - mean[0]) < least * mean[0]:
        return "stays"
    return "narrows" if high < 0 else "widens"
