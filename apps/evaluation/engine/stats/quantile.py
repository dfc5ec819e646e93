"""Quantiles with a distribution-free interval."""

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr

from apps.evaluation.engine.stats.result import Estimate

METHOD = "linear quantile (type 7), order-statistic interval"
REFERENCE = "Hyndman and Fan 1996, American Statistician 50:361-365; Hahn and Meeker 1991, Statistical Intervals, 5.2"


def quantile(values: Sequence[float], *, q: float, alpha: float) -> Estimate:
    """The q-quantile of n values: h = (n − 1)·q, linear between the order statistics around h.

    The interval runs between two order statistics x(l) and x(u): l is the largest rank with
    P(Bin(n, q) < l) ≤ alpha/2, u the smallest with P(Bin(n, q) ≥ u) ≤ alpha/2. A bound that n is too small to
    give is None.
    """
    if not 0 < q < 1:
        raise ValueError(f"q must lie between 0 and 1, not {q}")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        return Estimate(None, 0, None, None, METHOD, REFERENCE)
    below = bdtr(np.arange(0, n), n, q)  # below[k - 1] = P(Bin < k)
    low_ranks = np.flatnonzero(below <= alpha / 2) + 1
    high_ranks = np.flatnonzero(1 - below <= alpha / 2) + 1
    low = float(ordered[low_ranks[-1] - 1]) if len(low_ranks) else None
    high = float(ordered[high_ranks[0] - 1]) if len(high_ranks) else None
    return Estimate(float(np.quantile(ordered, q)), n, low, high, METHOD, REFERENCE)
