"""What every statistic returns."""

from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Estimate:
    """A figure with its two-sided interval at 1 − alpha; None where n units do not determine it."""

    estimate: float | None
    n: int
    low: float | None
    high: float | None
    method: str
    reference: str


@dataclass(frozen=True)
class PairedResult:
    """The difference candidate − reference over n paired units, its interval and its two-sided p-value."""

    estimate: float | None
    n: int
    low: float | None
    high: float | None
    p: float | None
    method: str
    test: str
    reference: str


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test on n units."""

    estimate: float
    n: int
    p: float
    method: str
    reference: str


def normal_quantile(alpha: float) -> float:
    """z with P(|Z| > z) = alpha; raises ValueError unless 0 < alpha < 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    return NormalDist().inv_cdf(1 - alpha / 2)
