"""Figures of one candidate: every metric, the cost, the latency."""

import numpy as np

from apps.evaluation.engine.metrics import Metric
from apps.evaluation.engine.stats.bootstrap import (
    METHOD,
    REFERENCE,
    Floats,
    Resampler,
    bootstrap_estimate,
    ratio_of,
)
from apps.evaluation.engine.stats.paired_mean import mean_t
from apps.evaluation.engine.stats.quantile import quantile
from apps.evaluation.engine.stats.result import Estimate
from apps.evaluation.engine.stats.wilson import wilson
from apps.evaluation.engine.units import CandidateUnits

# Above this share of dropped units the worst and best cases are shown.
DROPPED_SHARE = 0.02


def metric_estimate(metric: Metric, units: CandidateUnits, *, alpha: float, resampler: Resampler) -> Estimate:
    """Corpus: bootstrap of units. Binary with one repeat: Wilson. A mean, or a binary one repeated: t of unit means."""
    if metric.kind == "corpus":
        if units.n == 0:
            return Estimate(None, 0, None, None, METHOD, REFERENCE)
        replicates = corpus_replicates(metric, units, resampler)
        return bootstrap_estimate(estimate=corpus_value(metric, units), replicates=replicates, n=units.n, alpha=alpha)
    if metric.kind == "binary" and units.repeats == 1:
        return wilson(successes=int(units.counts[metric.name][:, 0].sum()), n=units.n, alpha=alpha)
    return mean_t(unit_means(units, metric)[units.available], alpha=alpha)


def metric_value(metric: Metric, units: CandidateUnits) -> float:
    """The value alone, over the available units, of which there must be one."""
    if metric.kind == "corpus":
        return corpus_value(metric, units)
    return float(unit_means(units, metric)[units.available].mean())


def corpus_value(metric: Metric, units: CandidateUnits) -> float:
    """A corpus metric of the sums over the available units."""
    return metric.value(units.counts[metric.name].sum(axis=0))


def corpus_replicates(metric: Metric, units: CandidateUnits, resampler: Resampler) -> Floats:
    """A corpus metric of each resample; NaN where none of its units has a figure, which is no perfect answer."""
    totals = resampler.totals(np.column_stack([units.counts[metric.name], units.available]))
    return np.where(totals[:, -1] > 0, metric.corpus(totals[:, :-1]), np.nan)


def unit_means(units: CandidateUnits, metric: Metric) -> Floats:
    """Mean over repeats of a binary metric or a mean, per unit; 0 for a unit that is not available."""
    counts = units.counts[metric.name].astype(np.float64)
    return counts[:, 0] / np.maximum(counts[:, 1], 1)


def cost_estimate(units: CandidateUnits, *, alpha: float, resampler: Resampler) -> Estimate:
    """Nano-dollars per 1,000 requests: the mean over priced outputs times 1,000, bootstrap of units."""
    cost, outputs = (int(total) for total in units.cost.sum(axis=0))
    if outputs == 0:
        return Estimate(None, 0, None, None, METHOD, REFERENCE)
    replicates = 1_000 * ratio_of(resampler.totals(units.cost))
    n = int(np.count_nonzero(units.cost[:, 1]))
    return bootstrap_estimate(estimate=1_000 * (cost / outputs), replicates=replicates, n=n, alpha=alpha)


def latency_json(units: CandidateUnits, *, alpha: float) -> dict[str, object]:
    """p50 and p95 of the unit means in milliseconds, with distribution-free intervals."""
    p50 = quantile(units.latency_ms, q=0.50, alpha=alpha)
    p95 = quantile(units.latency_ms, q=0.95, alpha=alpha)
    return {
        "p50": p50.estimate,
        "p95": p95.estimate,
        "n": p50.n,
        "p50_low": p50.low,
        "p50_high": p50.high,
        "p95_low": p95.low,
        "p95_high": p95.high,
        "method": p50.method,
    }


def estimate_json(estimate: Estimate) -> dict[str, object]:
    """The report's form of an estimate."""
    return {
        "value": estimate.estimate,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "method": estimate.method,
        "reference": estimate.reference,
    }


def metric_json(metric: Metric, units: CandidateUnits, *, alpha: float, resampler: Resampler) -> dict[str, object]:
    """One metric of the report; with more than 2 % of the units dropped also its worst and best case."""
    shown = estimate_json(metric_estimate(metric, units, alpha=alpha, resampler=resampler))
    shown["dropped"] = units.dropped
    if units.dropped > DROPPED_SHARE * len(units.available):
        for case, best in (("worst_case", False), ("best_case", True)):
            imputed = metric_estimate(metric, units.imputed(best=best), alpha=alpha, resampler=resampler)
            shown[case] = estimate_json(imputed)
    return shown
