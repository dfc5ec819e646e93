"""Turns a candidate's outputs into one row of counts per unit, in the order of the examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.evaluation.engine.facts import INFRASTRUCTURE, CandidateFacts, ExampleFacts, OutputFacts
from apps.evaluation.engine.metrics import Metric, Scored, Scoring

# Whole numbers, but fractions for a metric whose values are means.
Counts = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

# What a provider calls the end of an answer that reached its token limit.
CUT_OFF = "length"


# Scoring is a pure function of two strings, and a live leaderboard asks for the same ones again and again.
# Clearing it is how a benchmark pays for scoring again.
@lru_cache(maxsize=20_000)
def remembered_score(scoring: Scoring, expected: str, text: str | None) -> Scored:
    """The score of one output under the metrics of its format."""
    return scoring.score(expected, text)


@dataclass(frozen=True)
class CandidateUnits:
    """Counts per unit, summed over repeats.

    counts[metric]: (n, k) as `Metric.counts` gives them. available: units of which every repeat has an output; the
    rest failed for infrastructure and count nothing. cost: (n, 2) nano-dollars and number of priced outputs.
    perfect / worst: what one output that is all right / all wrong would count, per metric, (n, k). truncated: outputs
    that the token limit cut off.
    """

    name: str
    repeats: int
    available: Mask
    counts: dict[str, Counts]
    perfect: dict[str, Counts]
    worst: dict[str, Counts]
    cost: Counts
    latency_ms: tuple[float, ...]
    constant: bool
    truncated: int

    @property
    def n(self) -> int:
        """Units with a figure."""
        return int(self.available.sum())

    @property
    def dropped(self) -> int:
        """Units without a figure, for infrastructure alone."""
        return len(self.available) - self.n

    def imputed(self, *, best: bool) -> "CandidateUnits":
        """The same candidate with every dropped unit all right or all wrong."""
        filler = self.perfect if best else self.worst
        mask = self.available[:, None]
        counts = {name: np.where(mask, own, filler[name] * self.repeats) for name, own in self.counts.items()}
        return replace(self, counts=counts, available=np.ones_like(self.available))


def output_score(scoring: Scoring, expected: str, output: OutputFacts) -> Scored | None:
    """The score of one output; None when infrastructure failed and there is nothing to score."""
    return None if output.error == INFRASTRUCTURE else remembered_score(scoring, expected, output.text)


def candidate_units(candidate: CandidateFacts, examples: Sequence[ExampleFacts], scoring: Scoring) -> CandidateUnits:
    """Score every output. Raises ValueError for an output of an unknown example or given twice."""
    outputs = _by_example(candidate, examples)
    repeats = max((len(found) for found in outputs.values()), default=1) or 1
    scored = [_unit_scores(scoring, example, outputs[example.id], repeats) for example in examples]
    available = np.array([scores is not None for scores in scored], dtype=np.bool_)
    gold = [remembered_score(scoring, example.expected, example.expected) for example in examples]
    empty = [remembered_score(scoring, example.expected, None) for example in examples]
    usable = [output for output in candidate.outputs if output.error != INFRASTRUCTURE]
    return CandidateUnits(
        name=candidate.name,
        repeats=repeats,
        available=available,
        counts={name: _matrix(metric, scored) for name, metric in scoring.metrics.items()},
        perfect={name: _matrix(metric, [[score] for score in gold]) for name, metric in scoring.metrics.items()},
        worst={name: _matrix(metric, [[score] for score in empty]) for name, metric in scoring.metrics.items()},
        cost=np.array([_unit_cost(outputs[example.id]) for example in examples], dtype=np.int64).reshape(-1, 2),
        latency_ms=_unit_latencies([outputs[example.id] for example in examples]),
        constant=len(usable) > 1 and len({(output.text or "").strip() for output in usable}) == 1,
        truncated=sum(output.finish_reason == CUT_OFF for output in usable),
    )


def _by_example(candidate: CandidateFacts, examples: Sequence[ExampleFacts]) -> dict[str, list[OutputFacts]]:
    grouped: dict[str, list[OutputFacts]] = {example.id: [] for example in examples}
    seen: set[tuple[str, int]] = set()
    for output in candidate.outputs:
        key = (output.example, output.repeat)
        if output.example not in grouped or key in seen:
            problem = "given twice" if key in seen else "of an unknown example"
            raise ValueError(f"{candidate.name}: output {problem}: example {output.example}, repeat {output.repeat}")
        seen.add(key)
        grouped[output.example].append(output)
    return grouped


def _unit_scores(
    scoring: Scoring, example: ExampleFacts, outputs: Sequence[OutputFacts], repeats: int
) -> list[Scored] | None:
    scores = [score for output in outputs if (score := output_score(scoring, example.expected, output)) is not None]
    return scores if len(scores) == repeats else None


def _matrix(metric: Metric, units: Sequence[Sequence[Scored] | None]) -> Counts:
    rows = [np.sum([metric.counts(score) for score in unit], axis=0) if unit else (0,) * metric.width for unit in units]
    return np.array(rows, dtype=metric.dtype).reshape(len(units), metric.width)


def _unit_cost(outputs: Sequence[OutputFacts]) -> tuple[int, int]:
    costs = [output.cost_nanousd for output in outputs if output.error is None and output.cost_nanousd is not None]
    return sum(costs), len(costs)


def _unit_latencies(units: Sequence[Sequence[OutputFacts]]) -> tuple[float, ...]:
    found = [[o.latency_ms for o in unit if o.error is None and o.latency_ms is not None] for unit in units]
    return tuple(sum(unit) / len(unit) for unit in found if unit)
