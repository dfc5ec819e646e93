"""Means over units whose value is not binary: Student's t for the interval, sign flips for the test."""

from itertools import product
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from apps.evaluation.engine.stats.result import Estimate, PairedResult

METHOD = "t interval of unit means"
TEST_EXACT = "sign-flip test, all flips"
TEST_SAMPLED = "sign-flip test, sampled flips"
REFERENCE = "Student 1908, Biometrika 6:1-25; Fisher 1935, The Design of Experiments, section 21"

_EXACT_UP_TO = 16

Floats = npt.NDArray[np.float64]


def mean_t(values: Floats, *, alpha: float) -> Estimate:
    """Mean of unit values with its t interval; the interval needs two units."""
    n = len(values)
    if n == 0:
        return Estimate(None, 0, None, None, METHOD, REFERENCE)
    mean = float(values.mean())
    if n == 1:
        return Estimate(mean, 1, None, None, METHOD, REFERENCE)
    half = float(stdtrit(n - 1, 1 - alpha / 2)) * float(values.std(ddof=1)) / sqrt(n)
    return Estimate(mean, n, mean - half, mean + half, METHOD, REFERENCE)


def paired_mean(differences: Floats, *, alpha: float, seed: int, resamples: int) -> PairedResult:
    """Mean of paired differences: t interval and two-sided sign-flip p-value.

    Up to 16 units every flip is counted; beyond, `resamples` flips are drawn (PCG64, `seed`) and
    p = (1 + #{|mean*| ≥ |mean|}) / (resamples + 1).
    """
    interval = mean_t(differences, alpha=alpha)
    n = len(differences)
    if n == 0:
        return PairedResult(None, 0, None, None, None, METHOD, TEST_EXACT, REFERENCE)
    exact = n <= _EXACT_UP_TO
    p = _exact_p(differences) if exact else _sampled_p(differences, seed, resamples)
    test = TEST_EXACT if exact else TEST_SAMPLED
    return PairedResult(interval.estimate, n, interval.low, interval.high, p, METHOD, test, REFERENCE)


def _reached(sums: Floats, observed: float) -> int:
    # Sums that are equal on paper differ in the last bits, depending on the order of addition.
    return int(np.count_nonzero(np.abs(sums) >= abs(observed) - 1e-9 * max(1.0, abs(observed))))


def _exact_p(differences: Floats) -> float:
    signs = np.array(list(product((1.0, -1.0), repeat=len(differences))))
    return _reached(signs @ differences, float(differences.sum())) / len(signs)


def _sampled_p(differences: Floats, seed: int, resamples: int) -> float:
    generator = np.random.Generator(np.random.PCG64(seed))
    reached = 0
    for _ in range(resamples):
        signs = generator.integers(0, 2, size=len(differences)) * 2.0 - 1.0
        reached += _reached(np.atleast_1d(signs @ differences), float(differences.sum()))
    return (1 + reached) / (resamples + 1)
