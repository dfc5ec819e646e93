"""How many more examples an undecided comparison needs."""

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

from apps.evaluation.engine.stats.result import normal_quantile

METHOD = "normal approximation at the observed difference, power 0.8"
REFERENCE = "Chow, Shao and Wang 2008, Sample Size Calculations in Clinical Research, chapter 3"
POWER = 0.8


@dataclass(frozen=True)
class SampleSize:
    """Units needed in all and in addition, if difference and spread stay as observed."""

    estimate: int
    more: int
    n: int
    low: None
    high: None
    method: str
    reference: str


def examples_needed(*, difference: float, low: float, high: float, n: int, margin: float, alpha: float) -> SampleSize:
    """Units after which the comparison is decided with probability 0.8.

    Undecided means low ≤ −margin and high ≥ 0. It ends when the interval leaves −margin behind (distance
    difference + margin) or falls below 0 (distance −difference); the larger distance is reached first. The
    spread of one unit is taken from the width of the interval.
    """
    if n <= 0 or margin <= 0 or high < low:
        raise ValueError(f"needs units, a margin and an interval, got n={n}, margin={margin}, [{low}, {high}]")
    z = normal_quantile(alpha)
    unit_spread = (high - low) / 2 / z * sqrt(n)
    distance = max(difference + margin, -difference)
    needed = ceil(((z + NormalDist().inv_cdf(POWER)) * unit_spread / distance) ** 2)
    total = max(needed, n + 1)
    return SampleSize(total, total - n, n, None, None, METHOD, REFERENCE)
