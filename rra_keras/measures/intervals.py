"""How sure a mean over photos is."""

import numpy as np
from scipy import stats


def interval(values, level=0.95, seed=0):
    """Return the bootstrap interval of a mean over photos, `(low, high)`.

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
