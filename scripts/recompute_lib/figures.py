"""Metrics, costs, latencies and paired differences of a report, from its units and the draws of its seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from scripts.recompute_lib import formulas
from scripts.recompute_lib.formats import Corpus, Format
from scripts.recompute_lib.units import Units

Figures = dict[str, Any]
DROPPED_SHARE_TO_SHOW = 0.02
ENUMERATED = "sign-flip exact"


@dataclass
class Draws:
    """How often each unit occurs in each resample: [resamples, n] of whole numbers."""

    occurrences: np.ndarray
    alpha: float
    seed: int

    @classmethod
    def from_seed(cls, *, seed: int, resamples: int, n: int, alpha: float) -> "Draws":
        drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, n, size=(resamples, n))
        flat = drawn + np.arange(resamples)[:, None] * n
        return cls(np.bincount(flat.ravel(), minlength=resamples * n).reshape(resamples, n), alpha, seed)

    def sums(self, per_unit: np.ndarray) -> np.ndarray:
        """[resamples, columns] sums of whole numbers per unit."""
        return self.occurrences @ per_unit


def cost_parts(priced: np.ndarray) -> np.ndarray:
    """[n, 2] cost of a thousand times the outputs, and the outputs: the ratio of sums is the cost per 1,000."""
    return np.stack([1000 * priced[:, 0], priced[:, 1]], axis=1)


def _drawn(parts: np.ndarray, kept: np.ndarray, draws: Draws) -> np.ndarray:
    """[resamples with a figure, 2] sums over each: a resample of which no unit is kept says nothing and is left out."""
    return draws.sums(parts * kept[:, None])[draws.sums(kept.astype(np.int64)) > 0]


def corpus_figure(counts: np.ndarray, kept: np.ndarray, draws: Draws, corpus: Corpus) -> Figures:
    """A corpus figure with its percentile interval; units not kept hold their place and add nothing."""
    low, high = formulas.percentile_interval(corpus.drawn(_drawn(counts, kept, draws)), draws.alpha)
    value = float(corpus.of((counts * kept[:, None]).sum(axis=0)))
    return {"value": value, "low": low, "high": high, "n": int(kept.sum())}


def interval(limits: tuple[float | None, float | None]) -> Figures:
    return {"low": limits[0], "high": limits[1]}


def mean_figure(units: Units, metric: str, kept: np.ndarray, alpha: float, repeats: int) -> Figures:
    """A share of hits: Wilson with one repeat. A mean, or hits of several repeats: the t interval of unit means."""
    n = int(kept.sum())
    if repeats == 1 and is_binary(units, metric):
        hits = int(units.hits[metric][kept].sum())
        return {"value": hits / n, "n": n} | interval(formulas.wilson(hits, n, alpha))
    values = units.values(metric, kept)
    return {"value": float(values.mean()), "n": n} | interval(formulas.t_interval(values, alpha))


def is_binary(units: Units, metric: str) -> bool:
    return units.hits[metric].dtype == np.int64


def metric_figure(units: Units, metric: str, kept: np.ndarray, draws: Draws, known: Format, repeats: int) -> Figures:
    if not kept.any():
        return {"value": None, "low": None, "high": None, "n": 0}
    if metric in known.corpora:
        return corpus_figure(units.counts[metric], kept, draws, known.corpora[metric])
    return mean_figure(units, metric, kept, draws.alpha, repeats)


def candidate_metric(units: Units, metric: str, draws: Draws, known: Format) -> Figures:
    """value, low, high, n, dropped; above 2 % dropped also the worst and the best case."""
    kept = ~units.failed
    repeats = units.most_repeats
    figure = metric_figure(units, metric, kept, draws, known, repeats) | {"dropped": int(units.failed.sum())}
    if figure["dropped"] > DROPPED_SHARE_TO_SHOW * len(kept):
        everyone = np.ones_like(kept)
        for name, twin in (("worst_case", units.worst), ("best_case", units.best)):
            assert twin is not None
            figure[name] = metric_figure(twin, metric, everyone, draws, known, repeats)
    return figure


def _cost(sums: Sequence[int]) -> Fraction:
    return Fraction(sums[0], sums[1])


# Cost per thousand as one more figure of sums; undefined in a resample without a priced output.
COST = Corpus(2, lambda sums: formulas.ratio(sums[:, 0], sums[:, 1], empty=math.nan), _cost)


def candidate_cost(units: Units, draws: Draws) -> Figures:
    parts = cost_parts(units.priced)
    priced = parts[:, 1] > 0
    if not priced.any():
        return {"value": None, "low": None, "high": None, "n": 0}
    return corpus_figure(parts, priced, draws, COST)


def candidate_latency(units: Units, alpha: float) -> Figures:
    """Linear quantiles (type 7) of the unit means in milliseconds, with order-statistic intervals."""
    means = np.sort([float(np.mean(unit)) for unit in units.latencies if unit])
    figure: Figures = {"n": len(means)}
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        figure[name] = float(np.quantile(means, share, method="linear")) if len(means) else None
        low, high = formulas.quantile_ranks(len(means), share, alpha) if len(means) else (0, 1)
        figure[f"{name}_low"] = float(means[low - 1]) if low >= 1 else None
        figure[f"{name}_high"] = float(means[high - 1]) if high <= len(means) else None
    return figure


def corpus_difference(counts: tuple[np.ndarray, np.ndarray], kept: np.ndarray, draws: Draws, corpus: Corpus) -> Figures:
    """Paired difference of two corpus figures over the same units in the same resamples."""
    sums = [_drawn(side, kept, draws) for side in counts]
    first, second = (corpus.of((side * kept[:, None]).sum(axis=0)) for side in counts)
    drawn = corpus.drawn(sums[0]) - corpus.drawn(sums[1])
    low, high = formulas.percentile_interval(drawn, draws.alpha)
    p = formulas.bootstrap_p(drawn, lambda row: corpus.of(sums[0][row]) - corpus.of(sums[1][row]), first - second)
    return {"difference": float(first - second), "low": low, "high": high, "p": p, "n": int(kept.sum())}


def mean_difference(first: Units, second: Units, metric: str, kept: np.ndarray, draws: Draws) -> Figures:
    """Binary with one repeat: exact McNemar, Tango. Otherwise t interval and sign flips of the unit means."""
    n, alpha = int(kept.sum()), draws.alpha
    if not is_binary(first, metric):
        values = first.values(metric, kept) - second.values(metric, kept)
        p = formulas.sign_flip_drawn(values, seed=draws.seed, resamples=len(draws.occurrences))
        flips: Figures = {"difference": float(values.mean()), "p": p, "n": n}
        return flips | interval(formulas.t_interval(values, alpha))
    hits, others = first.hits[metric][kept], second.hits[metric][kept]
    if first.most_repeats == second.most_repeats == 1:
        b, c = int(((hits == 1) & (others == 0)).sum()), int(((hits == 0) & (others == 1)).sum())
        shift = {"difference": (b - c) / n, "p": formulas.mcnemar_exact(b, c), "n": n}
        return shift | interval(formulas.tango(b, c, n, alpha))
    exact = [
        Fraction(int(h), int(r)) - Fraction(int(o), int(s))
        for h, r, o, s in zip(hits, first.repeats[kept], others, second.repeats[kept], strict=True)
    ]
    values = np.array([float(value) for value in exact])
    flipped: Figures = {"difference": float(sum(exact) / n), "p": formulas.sign_flip_exact(exact), "n": n}
    return flipped | {"test": ENUMERATED} | interval(formulas.t_interval(values, alpha))


def difference_figure(
    first: Units, second: Units, metric: str, kept: np.ndarray, draws: Draws, known: Format
) -> Figures:
    if not kept.any():
        return {"difference": None, "low": None, "high": None, "p": None, "n": 0}
    if metric in known.corpora:
        return corpus_difference((first.counts[metric], second.counts[metric]), kept, draws, known.corpora[metric])
    return mean_difference(first, second, metric, kept, draws)


def comparison(first: Units, second: Units, metric: str, draws: Draws, known: Format) -> Figures:
    """Candidate - reference over the units that failed in neither; above 2 % dropped also the two extreme cases."""
    kept = ~(first.failed | second.failed)
    figure = difference_figure(first, second, metric, kept, draws, known) | {"dropped": int((~kept).sum())}
    if figure["dropped"] > DROPPED_SHARE_TO_SHOW * len(kept):
        everyone = np.ones_like(kept)
        twins = (("worst_case", first.worst, second.best), ("best_case", first.best, second.worst))
        for name, one, other in twins:
            assert one is not None
            assert other is not None
            figure[name] = difference_figure(one, other, metric, everyone, draws, known)
    return figure


def cost_difference(first: Units, second: Units, draws: Draws, factors: tuple[int, int] = (1, 1)) -> Figures:
    """Paired difference of the costs per 1,000 over the units that carry a price in both; factors scale the prices."""
    parts = [
        cost_parts(units.priced) * np.array([factor, 1]) for units, factor in zip((first, second), factors, strict=True)
    ]
    both = (parts[0][:, 1] > 0) & (parts[1][:, 1] > 0)
    if not both.any():
        return {"difference": None, "low": None, "high": None, "p": None, "n": 0}
    return corpus_difference((parts[0], parts[1]), both, draws, COST)
