"""The statistics of a report, each from its published definition. Shapes: units first, one number per unit."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
from scipy import optimize, stats

Interval = tuple[float, float]


def wilson(successes: int, n: int, alpha: float) -> Interval:
    """Wilson 1927: the score interval of a proportion."""
    z2 = stats.norm.isf(alpha / 2) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def mcnemar_exact(b: int, c: int) -> float:
    """McNemar 1947: two-sided exact binomial test of the discordant pairs."""
    return 1.0 if b + c == 0 else min(1.0, 2 * float(stats.binom.cdf(min(b, c), b + c, 0.5)))


def unseen_below(n: int, alpha: float, power: float) -> tuple[int, int | None]:
    """Discordant pairs of one kind that are significant, and whole points of difference below which `n` pairs show
    nothing with this power where only one kind occurs: the number of such pairs is binomial. None: no difference is."""
    least = next(pairs for pairs in range(1, 1000) if mcnemar_exact(0, pairs) <= alpha)
    if n < least:
        return least, None
    shown = optimize.brentq(lambda share: stats.binom.sf(least - 1, n, share) - power, 0.0, 1.0)
    return least, math.floor(100 * shown)


def tango(b: int, c: int, n: int, alpha: float) -> Interval:
    """Tango 1998, Statistics in Medicine 17:891-908: the score interval of (b - c) / n, by inverting the score test.

    b: pairs that only the candidate got right; c: only the reference; n: all pairs.
    """
    z = float(stats.norm.isf(alpha / 2))

    def score(delta: float) -> float:
        linear = -b - c + (2 * n - b + c) * delta
        root = math.sqrt(max(linear**2 + 8 * n * c * delta * (1 - delta), 0.0))
        q21 = (root - linear) / (4 * n)
        variance = n * (2 * q21 + delta * (1 - delta))
        distance = b - c - n * delta
        if variance <= 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / math.sqrt(variance)

    estimate, edge = (b - c) / n, 1 - 1e-15
    low = -1.0 if b - c == -n else _root(lambda d: score(d) - z, -edge, estimate)
    high = 1.0 if b - c == n else _root(lambda d: score(d) + z, estimate, edge)
    return low, high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a falling function; its values may be infinite at the ends, which bisection bears."""
    return float(
        optimize.bisect(lambda x: max(-1e6, min(1e6, function(x))), low, high, xtol=1e-15, rtol=1e-15 * 8, maxiter=400)
    )


def t_interval(values: np.ndarray, alpha: float) -> Interval | tuple[None, None]:
    """Student 1908: mean ± t · s / √n, with the n - 1 standard deviation; one unit has none."""
    n = len(values)
    if n < 2:
        return None, None
    half = float(stats.t.isf(alpha / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def sign_flip_exact(values: Sequence[Fraction]) -> float:
    """Fisher 1935: share of the 2^n sign patterns whose |sum| reaches the observed one, by counting the sums."""
    scale = math.lcm(*(value.denominator for value in values)) if values else 1
    whole = [abs(int(value * scale)) for value in values if value]
    observed = abs(sum(int(value * scale) for value in values))
    ways: dict[int, int] = {0: 1}
    for step in whole:
        grown: dict[int, int] = {}
        for total, count in ways.items():
            for new in (total + step, total - step):
                grown[new] = grown.get(new, 0) + count
        ways = grown
    return float(Fraction(sum(count for total, count in ways.items() if abs(total) >= observed), 2 ** len(whole)))


def ratio(top: np.ndarray, bottom: np.ndarray, *, empty: float) -> np.ndarray:
    """top / bottom as doubles, `empty` (NaN: undefined) where bottom is 0."""
    safe = np.where(bottom == 0, 1, bottom)
    return np.where(bottom == 0, empty, top / safe)


def percentile_interval(values: np.ndarray, alpha: float) -> Interval:
    """Efron and Tibshirani 1993: the percentile interval, linear quantiles, of the resamples that have a value."""
    low, high = np.quantile(values[~np.isnan(values)], [alpha / 2, 1 - alpha / 2], method="linear")
    return float(low), float(high)


def bootstrap_p(drawn: np.ndarray, exact_of: Callable[[int], Fraction], observed: Fraction) -> float:
    """(1 + #{|d* - d| >= |d|}) / (B + 1) of the differences drawn, NaN where one is undefined.

    A tie in real numbers is a tie here: where doubles cannot tell, `exact_of` (row) is compared as a fraction.
    B counts the resamples in which the difference is defined.
    """
    size = abs(observed)
    defined = ~np.isnan(drawn)
    distance = np.where(defined, np.abs(drawn - float(observed)), -1.0)
    scale = max(float(np.nanmax(np.abs(drawn))), float(size), 1.0)
    close = defined & (np.abs(distance - float(size)) <= 1e-9 * scale)
    reached = int(np.sum(distance[defined & ~close] >= float(size)))
    reached += sum(abs(exact_of(int(row)) - observed) >= size for row in np.flatnonzero(close))
    return (1 + reached) / (int(defined.sum()) + 1)


def sign_flip_drawn(values: np.ndarray, *, seed: int, resamples: int) -> float:
    """Fisher 1935: up to 16 units by every pattern of signs, else by the patterns that the report's scheme draws.

    Sums that are equal in real numbers are taken for equal: they differ by less than 1e-9 of the observed one.
    """
    n, observed = len(values), abs(float(values.sum()))
    bound = observed - 1e-9 * max(1.0, observed)
    if n <= 16:
        patterns = np.array(list(product((1.0, -1.0), repeat=n)))
        return float((np.abs(patterns @ values) >= bound).mean())
    generator, reached = np.random.Generator(np.random.PCG64(seed)), 0
    for start in range(0, resamples, 1_000):
        signs = generator.integers(0, 2, size=(min(1_000, resamples - start), n)) * 2.0 - 1.0
        reached += int((np.abs(signs @ values) >= bound).sum())
    return (1 + reached) / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm 1979: step-down adjusted p-values in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg 1995: step-up adjusted p-values in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i], reverse=True)
    adjusted, running = [1.0] * len(p_values), 1.0
    for place, index in enumerate(order):
        running = min(running, p_values[index] * len(p_values) / (len(p_values) - place))
        adjusted[index] = running
    return adjusted


def quantile_ranks(n: int, share: float, alpha: float) -> tuple[int, int]:
    """Ranks (from 1) of the order statistics around a quantile; 0 or n + 1 means that the sample is too small."""
    return int(stats.binom.ppf(alpha / 2, n, share)), int(stats.binom.ppf(1 - alpha / 2, n, share)) + 1


def units_to_decide(n: int, low: float, high: float, distance: float, alpha: float) -> int:
    """All units needed to see `distance` with power 0.8, by the normal approximation of an interval over n units."""
    z = float(stats.norm.isf(alpha / 2))
    error = (high - low) / (2 * z)
    return max(n + 1, math.ceil(n * ((z + float(stats.norm.isf(0.2))) * error / distance) ** 2))


def conclusion_kind(low: float, high: float, margin: float) -> str:
    """What an interval of (candidate - reference) says against the margin that matters: the first that holds."""
    if low > margin:
        return "better_by_more_than_margin"
    if low > 0:
        return "better_within_margin" if high < margin else "better"
    if high < -margin:
        return "worse_by_more_than_margin"
    if high < 0:
        return "worse_within_margin" if low > -margin else "worse"
    if -margin < low and high < margin:
        return "equivalent"
    return "not_worse_by_more_than_margin" if low > -margin else "not_enough_data"
