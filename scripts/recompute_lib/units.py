"""The outputs of one candidate as arrays over the examples: the only form in which figures are computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.recompute_lib.answers import pair_counts, read_answer, try_answer

Json = Mapping[str, Any]


@dataclass
class Units:
    """One row per example, in the order of the report. `failed` marks a unit with any infrastructure failure.

    counts: [n, 3] pairs in common, predicted, expected, pooled over repeats. marks: for exact_match and valid_rate
    the hits and the repeats they are out of. priced: [n, 2] cost in nano-dollars and outputs with a price.
    The `worst` and `best` twins hold what the figures would be had every dropped unit been all wrong or all right.
    """

    failed: np.ndarray
    counts: np.ndarray
    hits: dict[str, np.ndarray]
    repeats: np.ndarray
    priced: np.ndarray
    latencies: list[list[float]]
    valid: list[bool | None] = field(default_factory=list)
    exact: list[bool | None] = field(default_factory=list)
    worst: "Units | None" = None
    best: "Units | None" = None

    @property
    def most_repeats(self) -> int:
        return int(self.repeats.max()) if len(self.repeats) else 0

    def values(self, metric: str, units: np.ndarray) -> np.ndarray:
        """Means of a yes-or-no metric over the repeats of each of the chosen units."""
        return self.hits[metric][units] / self.repeats[units]


def empty_units(n: int) -> Units:
    return Units(
        failed=np.zeros(n, dtype=bool),
        counts=np.zeros((n, 3), dtype=np.int64),
        hits={"exact_match": np.zeros(n, dtype=np.int64), "valid_rate": np.zeros(n, dtype=np.int64)},
        repeats=np.zeros(n, dtype=np.int64),
        priced=np.zeros((n, 2), dtype=np.int64),
        latencies=[[] for _ in range(n)],
    )


def candidate_units(examples: Sequence[Json], outputs: Sequence[Json]) -> Units:
    """Raises ValueError (invalid expected answer, example without output) or KeyError (output of no example)."""
    places = {example["id"]: place for place, example in enumerate(examples)}
    gold = [read_answer(example["expected"]) for example in examples]
    real, worst, best = (empty_units(len(examples)) for _ in range(3))
    for output in outputs:
        if output["error"] is not None:
            real.failed[places[output["example"]]] = True
    for output in outputs:
        place = places[output["example"]]
        size = len(gold[place])
        answer = try_answer(output["text"])
        right = answer == gold[place]
        lost = output["error"] is not None
        counts = (0, 0, size) if lost else pair_counts(gold[place], answer)
        _count(real, place, counts, exact=not lost and right, valid=not lost and answer is not None)
        for units, share in ((worst, 0), (best, size)):
            if real.failed[place]:
                _count(units, place, (share, share, size), exact=units is best, valid=units is best)
            else:
                _count(units, place, counts, exact=right, valid=answer is not None)
        real.valid.append(None if lost else answer is not None)
        real.exact.append(None if lost else right)
        if not lost:
            _measure(real, place, output)
    if not real.repeats.all():
        raise ValueError("an example has no output")
    real.worst, real.best = worst, best
    return real


def _count(units: Units, place: int, counts: tuple[int, int, int], *, exact: bool, valid: bool) -> None:
    units.counts[place] += counts
    units.hits["exact_match"][place] += exact
    units.hits["valid_rate"][place] += valid
    units.repeats[place] += 1


def _measure(units: Units, place: int, output: Json) -> None:
    """Cost and latency; a cached output carries those of the call that made its text."""
    if output.get("cost_nanousd") is not None:
        units.priced[place] += (output["cost_nanousd"], 1)
    if output.get("latency_ms") is not None:
        units.latencies[place].append(float(output["latency_ms"]))


def outputs_all_equal(outputs: Sequence[Json]) -> bool:
    """Every text the same but for spaces around it, for at least two outputs; failures of infrastructure left out."""
    texts = [(output["text"] or "").strip() for output in outputs if output["error"] is None]
    return len(texts) > 1 and len(set(texts)) == 1
