"""What the evidence says: the kind of each comparison, and which candidate to ship."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from apps.evaluation.engine.compare import Comparison, compare_cost
from apps.evaluation.engine.stats.bootstrap import Resampler
from apps.evaluation.engine.stats.result import PairedResult
from apps.evaluation.engine.units import CandidateUnits

ComparisonKind = Literal[
    "better_by_more_than_margin",
    "better",
    "better_within_margin",
    "worse_by_more_than_margin",
    "worse",
    "worse_within_margin",
    "equivalent",
    "not_worse_by_more_than_margin",
    "not_enough_data",
]
REFERENCE_BEST = "reference_best"
NO_WINNER = "no_winner"

BETTER: frozenset[str] = frozenset({"better_by_more_than_margin", "better", "better_within_margin"})
WORSE: frozenset[str] = frozenset({"worse_by_more_than_margin", "worse", "worse_within_margin"})

RULE = (
    "A candidate other than the reference qualifies if low > -margin against the reference on the primary metric; the"
    " reference qualifies without that. One whose outputs are all equal never qualifies, be it the reference. Where"
    " such an answer is claimed to be better than the reference (low > 0 and p_adjusted <= alpha), the reference does"
    " not qualify, nor does one whose difference is not above that answer's. The cheapest that qualifies is recommended"
    " if the interval of its cost difference to every other one excludes 0; else those of like cost are named with it."
)

# Half and twice the assumed price: what the recommendation is put to the test with.
PRICE_FACTORS = (0.5, 2.0)


def conclusion_kind(*, low: float, high: float, margin: float) -> ComparisonKind:
    """What the interval (low, high) of candidate − reference says, given the smallest difference that matters."""
    if low > margin:
        return "better_by_more_than_margin"
    if low > 0:
        return "better_within_margin" if high < margin else "better"
    if high < -margin:
        return "worse_by_more_than_margin"
    if high < 0:
        return "worse_within_margin" if low > -margin else "worse"
    if low > -margin:
        return "equivalent" if high < margin else "not_worse_by_more_than_margin"
    return "not_enough_data"


def kind_of(comparison: Comparison, *, margin: float) -> ComparisonKind:
    """The kind of a comparison; without an interval there is not enough data."""
    result = comparison.result
    if result is None or result.low is None or result.high is None:
        return "not_enough_data"
    return conclusion_kind(low=result.low, high=result.high, margin=margin)


def is_claimed(comparison: Comparison, *, margin: float, alpha: float) -> bool:
    """Whether a difference is claimed: the interval excludes 0 *and* the adjusted p-value is at most alpha."""
    differs = kind_of(comparison, margin=margin) in BETTER | WORSE
    return differs and comparison.p_adjusted is not None and comparison.p_adjusted <= alpha


@dataclass(frozen=True)
class CostComparison:
    """Cost of candidate − reference in nano-dollars per 1,000 requests; clear if the interval excludes 0."""

    candidate: str
    reference: str
    result: PairedResult

    @property
    def clear(self) -> bool:
        """Whether one of the two is the cheaper one beyond chance."""
        low, high = self.result.low, self.result.high
        return low is not None and high is not None and (low > 0 or high < 0)


@dataclass(frozen=True)
class Recommendation:
    """The choice and what it rests on. `also`: candidates whose cost cannot be told from the recommended one's."""

    recommended: str | None
    also: tuple[str, ...]
    qualifying: tuple[str, ...]
    cost_comparisons: tuple[CostComparison, ...]
    price_assumed: bool
    price_changes_winner: bool


def recommend(
    *,
    units: Mapping[str, CandidateUnits],
    comparisons: Sequence[Comparison],
    reference: str,
    assumed: frozenset[str],
    margin: float,
    alpha: float,
    resampler: Resampler,
) -> Recommendation:
    """Choose the candidate to ship.

    The reference always qualifies; another candidate qualifies by evidence that it is not worse by more than the
    margin (low > −margin). One whose outputs are all equal never does, be it the reference. The cheapest qualifying
    one wins if its cost is clearly below every other's; else all that it cannot be told from are named.
    `comparisons` are those of the primary metric against the reference.
    """
    by_candidate = {item.candidate: item for item in comparisons}
    bar = constant_bar(units, comparisons, margin=margin, alpha=alpha)
    qualifying = _qualifying(
        units, by_candidate, reference, margin, bar.result.estimate if bar and bar.result else None
    )
    if not qualifying:
        return Recommendation(None, (), (), (), False, False)
    chooser = _Chooser(units, by_candidate, reference, margin, alpha, resampler)
    chosen, costs = chooser.choose(qualifying, dict.fromkeys(qualifying, 1.0))
    price_assumed = any(name in assumed for name in qualifying)
    changed = price_assumed and any(
        chooser.choose(qualifying, {name: factor if name in assumed else 1.0 for name in qualifying})[0][0] != chosen[0]
        for factor in PRICE_FACTORS
    )
    return Recommendation(chosen[0], chosen[1:], qualifying, costs, price_assumed, changed)


def constant_bar(
    units: Mapping[str, CandidateUnits], comparisons: Sequence[Comparison], *, margin: float, alpha: float
) -> Comparison | None:
    """The best constant answer that is claimed to be better than the reference, if there is one."""
    above = [
        item
        for item in comparisons
        if item.candidate in units
        and units[item.candidate].constant
        and is_claimed(item, margin=margin, alpha=alpha)
        and kind_of(item, margin=margin) in BETTER
    ]
    return max(above, key=_estimate, default=None)


def level_constants(
    units: Mapping[str, CandidateUnits], comparisons: Sequence[Comparison], *, margin: float
) -> list[Comparison]:
    """Constant answers that would qualify were they not constant: not worse by more than what matters."""
    return [
        item
        for item in comparisons
        if item.candidate in units
        and units[item.candidate].constant
        and item.result is not None
        and item.result.low is not None
        and item.result.low > -margin
    ]


def _estimate(comparison: Comparison) -> float:
    estimate = comparison.result.estimate if comparison.result else None
    return float("-inf") if estimate is None else estimate


def _qualifying(
    units: Mapping[str, CandidateUnits],
    comparisons: Mapping[str, Comparison],
    reference: str,
    margin: float,
    bar: float | None,
) -> tuple[str, ...]:
    def qualifies(name: str) -> bool:
        if units[name].constant or units[name].n == 0:
            return False
        if name == reference:
            return bar is None
        result = comparisons[name].result if name in comparisons else None
        if result is None or result.low is None or result.estimate is None:
            return False
        return result.low > -margin and (bar is None or result.estimate > bar)

    return tuple(name for name in units if qualifies(name))


@dataclass(frozen=True)
class _Chooser:
    units: Mapping[str, CandidateUnits]
    comparisons: Mapping[str, Comparison]
    reference: str
    margin: float
    alpha: float
    resampler: Resampler

    def choose(
        self, qualifying: Sequence[str], factors: Mapping[str, float]
    ) -> tuple[tuple[str, ...], tuple[CostComparison, ...]]:
        """The recommended one first, then those whose cost cannot be told from the cheapest; and the evidence."""
        cheapest = self._cheapest(qualifying, factors)
        if cheapest is None:
            return self._preferred_first(list(qualifying)), ()
        costs = tuple(
            CostComparison(name, cheapest, self._cost(name, cheapest, factors))
            for name in qualifying
            if name != cheapest
        )
        tied = [cheapest, *(item.candidate for item in costs if not item.clear)]
        return self._preferred_first(tied), costs

    def _cheapest(self, qualifying: Sequence[str], factors: Mapping[str, float]) -> str | None:
        """The lowest cost known; the order of candidates breaks ties. None if no cost is known."""
        known: dict[str, float] = {}
        for name in qualifying:
            cost, outputs = (int(total) for total in self.units[name].cost.sum(axis=0))
            if outputs:
                known[name] = cost / outputs * factors[name]
        return min(known, key=lambda name: known[name], default=None)

    def _cost(self, name: str, cheapest: str, factors: Mapping[str, float]) -> PairedResult:
        return compare_cost(
            self.units[name],
            self.units[cheapest],
            alpha=self.alpha,
            resampler=self.resampler,
            factors=(factors[name], factors[cheapest]),
        )

    def _preferred_first(self, tied: list[str]) -> tuple[str, ...]:
        """Among equally cheap ones: the best that is claimed to be better than the reference, else the reference,
        else the best on the primary metric."""
        claimed = [name for name in tied if self._claimed_better(name)]
        if claimed:
            first = max(claimed, key=self._difference)
        elif self.reference in tied:
            first = self.reference
        else:
            first = max(tied, key=self._difference)
        return first, *(name for name in tied if name != first)

    def _claimed_better(self, name: str) -> bool:
        comparison = self.comparisons.get(name)
        if comparison is None or not is_claimed(comparison, margin=self.margin, alpha=self.alpha):
            return False
        return kind_of(comparison, margin=self.margin) in BETTER

    def _difference(self, name: str) -> float:
        comparison = self.comparisons.get(name)
        if comparison is None or comparison.result is None or comparison.result.estimate is None:
            return 0.0
        return comparison.result.estimate
