"""Paired comparison of two candidates on one metric, and of a whole family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apps.evaluation.engine.measures import DROPPED_SHARE, corpus_replicates, corpus_value, unit_means
from apps.evaluation.engine.metrics import Metric
from apps.evaluation.engine.stats.bootstrap import (
    METHOD,
    REFERENCE,
    TEST,
    Resampler,
    bootstrap_difference,
    ratio_of,
)
from apps.evaluation.engine.stats.mcnemar import mcnemar_exact
from apps.evaluation.engine.stats.multiplicity import benjamini_hochberg, holm
from apps.evaluation.engine.stats.paired_mean import paired_mean
from apps.evaluation.engine.stats.result import PairedResult
from apps.evaluation.engine.stats.tango import tango
from apps.evaluation.engine.units import CandidateUnits


@dataclass(frozen=True)
class Comparison:
    """One metric of candidate − reference. `result` is None while one of the two has no outputs.

    p_adjusted: Holm over the decision family, on the primary metric only. p_bh: Benjamini-Hochberg over all
    exploratory comparisons. dropped: units that infrastructure took from the pair.
    """

    metric: str
    candidate: str
    reference: str
    result: PairedResult | None
    exploratory: bool
    dropped: int = 0
    worst_case: PairedResult | None = None
    best_case: PairedResult | None = None
    p_adjusted: float | None = None
    p_bh: float | None = None


def compare(
    metric: Metric, candidate: CandidateUnits, reference: CandidateUnits, *, alpha: float, resampler: Resampler
) -> PairedResult:
    """Candidate − reference over the units that both have, by the method that fits the metric."""
    candidate, reference = _paired(candidate, reference)
    if candidate.n == 0:
        return PairedResult(None, 0, None, None, None, METHOD, TEST, REFERENCE)
    if metric.kind == "corpus":
        return _compare_corpus(metric, candidate, reference, alpha, resampler)
    if metric.kind == "binary" and candidate.repeats == reference.repeats == 1:
        return _compare_binary(metric, candidate, reference, alpha)
    differences = unit_means(candidate, metric) - unit_means(reference, metric)
    used = differences[candidate.available]
    return paired_mean(used, alpha=alpha, seed=resampler.seed, resamples=resampler.resamples)


def compare_cost(
    candidate: CandidateUnits,
    reference: CandidateUnits,
    *,
    alpha: float,
    resampler: Resampler,
    factors: tuple[float, float],
) -> PairedResult:
    """Cost of candidate − cost of reference, nano-dollars per 1,000 requests, over the units priced for both.

    `factors` multiply the two costs: 1 as measured, 0.5 or 2 where the price is assumed and put to the test.
    """
    priced = (candidate.cost[:, 1] > 0) & (reference.cost[:, 1] > 0)
    own, other = (np.where(priced[:, None], side.cost, 0) for side in (candidate, reference))
    n = int(priced.sum())
    if n == 0:
        return PairedResult(None, 0, None, None, None, METHOD, TEST, REFERENCE)
    totals = own.sum(axis=0), other.sum(axis=0)
    scale = [1_000 * factor for factor in factors]
    return bootstrap_difference(
        candidate=scale[0] * float(totals[0][0] / totals[0][1]),
        reference=scale[1] * float(totals[1][0] / totals[1][1]),
        candidate_replicates=scale[0] * ratio_of(resampler.totals(own)),
        reference_replicates=scale[1] * ratio_of(resampler.totals(other)),
        n=n,
        alpha=alpha,
    )


def compare_family(
    units: Mapping[str, CandidateUnits],
    *,
    family: Sequence[tuple[str, str]],
    metrics: Sequence[Metric],
    primary: str,
    alpha: float,
    resampler: Resampler,
) -> list[Comparison]:
    """Every pair of the family on every metric, with adjusted p-values.

    Holm counts the whole declared family: a comparison that is not there yet stands in with p = 1, so a figure
    shown while the job runs is never more confident than the final one would allow.
    """
    found = [
        _comparison(metric, pair, units, metric.name != primary, alpha, resampler)
        for metric in metrics
        for pair in family
    ]
    decided = [item for item in found if not item.exploratory]
    adjusted = iter(holm([_p(item) for item in decided]))
    exploratory = [item for item in found if item.exploratory and item.result and item.result.p is not None]
    explored = dict(zip(map(id, exploratory), benjamini_hochberg([_p(item) for item in exploratory]), strict=True))
    finished: list[Comparison] = []
    for item in found:
        if item.exploratory:
            finished.append(replace(item, p_bh=explored.get(id(item))))
        else:
            p_adjusted = next(adjusted)
            known = item.result is not None and item.result.p is not None
            finished.append(replace(item, p_adjusted=p_adjusted if known else None))
    return finished


def _p(item: Comparison) -> float:
    return 1.0 if item.result is None or item.result.p is None else item.result.p


def _comparison(
    metric: Metric,
    pair: tuple[str, str],
    units: Mapping[str, CandidateUnits],
    exploratory: bool,
    alpha: float,
    resampler: Resampler,
) -> Comparison:
    candidate, reference = units.get(pair[0]), units.get(pair[1])
    if candidate is None or reference is None:
        return Comparison(metric.name, *pair, None, exploratory)
    result = compare(metric, candidate, reference, alpha=alpha, resampler=resampler)
    total = len(candidate.available)
    dropped = total - result.n
    comparison = Comparison(metric.name, *pair, result, exploratory, dropped=dropped)
    if dropped <= DROPPED_SHARE * total:
        return comparison
    worst, best = (
        compare(metric, candidate.imputed(best=up), reference.imputed(best=not up), alpha=alpha, resampler=resampler)
        for up in (False, True)
    )
    return replace(comparison, worst_case=worst, best_case=best)


def _paired(left: CandidateUnits, right: CandidateUnits) -> tuple[CandidateUnits, CandidateUnits]:
    both = left.available & right.available
    mask = both[:, None]

    def restricted(side: CandidateUnits) -> CandidateUnits:
        counts = {name: np.where(mask, own, 0) for name, own in side.counts.items()}
        return replace(side, available=both, counts=counts)

    return restricted(left), restricted(right)


def _compare_corpus(
    metric: Metric, candidate: CandidateUnits, reference: CandidateUnits, alpha: float, resampler: Resampler
) -> PairedResult:
    return bootstrap_difference(
        candidate=corpus_value(metric, candidate),
        reference=corpus_value(metric, reference),
        candidate_replicates=corpus_replicates(metric, candidate, resampler),
        reference_replicates=corpus_replicates(metric, reference, resampler),
        n=candidate.n,
        alpha=alpha,
    )


def _compare_binary(metric: Metric, candidate: CandidateUnits, reference: CandidateUnits, alpha: float) -> PairedResult:
    right = [side.counts[metric.name][side.available, 0] > 0 for side in (candidate, reference)]
    b = int(np.count_nonzero(right[0] & ~right[1]))
    c = int(np.count_nonzero(~right[0] & right[1]))
    test = mcnemar_exact(b=b, c=c, n=candidate.n)
    interval = tango(b=b, c=c, n=candidate.n, alpha=alpha)
    reference_text = f"{interval.reference}; {test.reference}"
    low, high = interval.low, interval.high
    return PairedResult(test.estimate, test.n, low, high, test.p, interval.method, test.method, reference_text)
