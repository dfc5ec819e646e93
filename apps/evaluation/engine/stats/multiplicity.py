"""p-values adjusted for several comparisons."""

from collections.abc import Sequence

HOLM_REFERENCE = "Holm 1979, Scandinavian Journal of Statistics 6:65-70"
BH_REFERENCE = "Benjamini and Hochberg 1995, JRSS B 57:289-300"


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given; rejecting those ≤ alpha keeps the family-wise error ≤ alpha."""
    _check(p_values)
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(_ascending(p_values)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given; rejecting those ≤ alpha keeps the false discovery rate ≤ alpha."""
    _check(p_values)
    adjusted = [0.0] * len(p_values)
    running = 1.0
    order = _ascending(p_values)
    for rank in range(len(p_values), 0, -1):
        index = order[rank - 1]
        running = min(running, p_values[index] * len(p_values) / rank)
        adjusted[index] = running
    return adjusted


def _ascending(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=lambda index: p_values[index])


def _check(p_values: Sequence[float]) -> None:
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must lie between 0 and 1: {list(p_values)}")
