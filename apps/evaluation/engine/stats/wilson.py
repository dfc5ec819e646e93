"""Wilson's score interval for one proportion."""

from math import sqrt

from apps.evaluation.engine.stats.result import Estimate, normal_quantile

METHOD = "Wilson score interval"
REFERENCE = "Wilson 1927, JASA 22:209-212"


def wilson(*, successes: int, n: int, alpha: float) -> Estimate:
    """Proportion of successes among n units. With n = 0 nothing is known and all figures are None."""
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n, got {successes} of {n}")
    z = normal_quantile(alpha)
    if n == 0:
        return Estimate(None, 0, None, None, METHOD, REFERENCE)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the two ends the bound is 0 or 1 exactly; the subtraction would leave 1e-17.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(share, n, low, high, METHOD, REFERENCE)
