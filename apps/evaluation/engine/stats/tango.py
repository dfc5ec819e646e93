"""Tango's score interval for the difference of two paired proportions."""

from math import sqrt

from apps.evaluation.engine.stats.result import Estimate, normal_quantile

METHOD = "Tango score interval"
REFERENCE = "Tango 1998, Statistics in Medicine 17:891-908"


def tango(*, b: int, c: int, n: int, alpha: float) -> Estimate:
    """Interval for p(candidate) − p(reference) = (b − c) / n.

    b: units where only the candidate is right; c: units where only the reference is right; n: paired units.
    The bounds are the differences at which the score statistic equals ±z. With n = 0 all figures are None.
    """
    if b < 0 or c < 0 or b + c > n:
        raise ValueError(f"discordant pairs must be counts within n, got b={b}, c={c}, n={n}")
    z = normal_quantile(alpha)
    if n == 0:
        return Estimate(None, 0, None, None, METHOD, REFERENCE)
    # Exchanging the two sides mirrors the interval, so one solver gives both ends.
    return Estimate((b - c) / n, n, _lower(b, c, n, z), -_lower(c, b, n, z), METHOD, REFERENCE)


def _lower(b: int, c: int, n: int, z: float) -> float:
    """The smallest difference that the score test does not reject, by bisection down to adjacent floats.

    The score falls monotonically in the difference. Bisection needs only its sign, so it stays exact where
    the variance vanishes (no discordant pair, or all of them on one side).
    """
    rejected, kept = -1.0, (b - c) / n
    if not _is_rejected(rejected, b, c, n, z):
        return rejected
    while True:
        middle = (rejected + kept) / 2
        if middle in (rejected, kept):
            return kept
        if _is_rejected(middle, b, c, n, z):
            rejected = middle
        else:
            kept = middle


def _is_rejected(delta: float, b: int, c: int, n: int, z: float) -> bool:
    return (b - c) - n * delta > z * sqrt(_variance(delta, b, c, n))


def _variance(delta: float, b: int, c: int, n: int) -> float:
    """n·(2·q + delta·(1 − delta)), q the maximum-likelihood share of c-pairs under the null difference."""
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    root = sqrt(max(0.0, linear * linear - 8 * n * constant))
    share = (root - linear) / (4 * n)
    return max(0.0, n * (2 * share + delta * (1 - delta)))
