"""Bootstrap of units, the same draws for every figure of a report."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from apps.evaluation.engine.stats.result import Estimate, PairedResult

METHOD = "percentile bootstrap of units"
TEST = "paired bootstrap of units"
REFERENCE = "Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 13 and 16"
RESAMPLES = 9_999
ROUNDING = 1e-12
GENERATOR = "numpy.random.PCG64"

_CHUNK_CELLS = 1_000_000
_CACHE_CELLS = 5_000_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resampler:
    """B resamples of n units as counts: how often each unit was drawn.

    The draws are `Generator(PCG64(seed)).integers(0, n, size=(B, n))`; they are made in blocks of rows, which
    gives the same numbers as one call and bounds the memory.
    """

    n_units: int
    seed: int
    resamples: int = RESAMPLES

    def totals(self, columns: npt.NDArray[np.int64]) -> Floats:
        """Sums over each resample. `columns`: (n units, k) integers; returns (B, k).

        Totals are whole numbers below 2**53, so they are exact in any order of summation.
        """
        if columns.shape[0] != self.n_units:
            raise ValueError(f"expected {self.n_units} units, got {columns.shape[0]}")
        values = columns.astype(np.float64)
        blocks = self._cached_blocks if self.n_units * self.resamples <= _CACHE_CELLS else self._blocks()
        parts = [weights @ values for weights in blocks]
        return np.concatenate(parts) if parts else np.empty((0, columns.shape[1]))

    @cached_property
    def _cached_blocks(self) -> list[Floats]:
        return list(self._blocks())

    def _blocks(self) -> Iterator[Floats]:
        generator = np.random.Generator(np.random.PCG64(self.seed))
        rows_per_block = max(1, _CHUNK_CELLS // max(1, self.n_units))
        for start in range(0, self.resamples, rows_per_block):
            rows = min(rows_per_block, self.resamples - start)
            draws = generator.integers(0, self.n_units, size=(rows, self.n_units))
            flat = draws + np.arange(rows)[:, None] * self.n_units
            counts = np.bincount(flat.ravel(), minlength=rows * self.n_units)
            yield counts.reshape(rows, self.n_units).astype(np.float64)


def micro_f1_of(totals: Floats) -> Floats:
    """Corpus micro-F1 of each row of (true positives, predicted, gold); 1 where no pair is on either side."""
    pairs = totals[..., 1] + totals[..., 2]
    return np.divide(2 * totals[..., 0], pairs, out=np.ones_like(pairs), where=pairs > 0)


def ratio_of(totals: Floats) -> Floats:
    """Numerator / denominator of each row; NaN where the denominator is 0."""
    return np.divide(totals[..., 0], totals[..., 1], out=np.full_like(totals[..., 0], np.nan), where=totals[..., 1] > 0)


def percentile_interval(replicates: Floats, alpha: float) -> tuple[float, float]:
    """Quantiles alpha/2 and 1 − alpha/2 (numpy's linear definition) of the defined replicates."""
    defined = replicates[~np.isnan(replicates)]
    low, high = np.quantile(defined, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def bootstrap_estimate(*, estimate: float, replicates: Floats, n: int, alpha: float) -> Estimate:
    """The estimate on n units with the percentile interval of its replicates."""
    low, high = percentile_interval(replicates, alpha)
    return Estimate(estimate, n, low, high, METHOD, REFERENCE)


def bootstrap_difference(
    *,
    candidate: float,
    reference: float,
    candidate_replicates: Floats,
    reference_replicates: Floats,
    n: int,
    alpha: float,
) -> PairedResult:
    """Candidate − reference from replicates made by the same draws.

    p = (1 + #{|Δ* − Δ| ≥ |Δ|}) / (B + 1), B the number of defined replicates. Two numbers that differ by rounding
    alone are equal there: on few units, replicates tie with Δ often.
    """
    difference = candidate - reference
    replicates = candidate_replicates - reference_replicates
    defined = replicates[~np.isnan(replicates)]
    low, high = percentile_interval(defined, alpha)
    rounding = ROUNDING * max(1.0, abs(difference))
    extreme = int(np.count_nonzero(np.abs(defined - difference) >= abs(difference) - rounding))
    p = (1 + extreme) / (len(defined) + 1)
    return PairedResult(difference, n, low, high, p, METHOD, TEST, REFERENCE)
