"""The outputs of one candidate as arrays over the examples: the only form in which figures are computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.recompute_lib.formats import Format, Marks

Json = Mapping[str, Any]


@dataclass
class Units:
    """One row per example, in the order of the report. `failed` marks a unit with any infrastructure failure.

    counts: for each corpus metric its [n, width] whole numbers, pooled over repeats. hits: for every other metric the
    sum of its marks, whole numbers for a yes-or-no one, out of `repeats`. priced: [n, 2] cost in nano-dollars and
    outputs with a price.
    The `worst` and `best` twins hold what the figures would be had every dropped unit been all wrong or all right.
    """

    failed: np.ndarray
    counts: dict[str, np.ndarray]
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
        """Means of a metric's marks over the repeats of each of the chosen units."""
        return self.hits[metric][units] / self.repeats[units]


def empty_units(n: int, known: Format) -> Units:
    binary = {name: np.zeros(n, dtype=np.int64) for name in known.binary}
    return Units(
        failed=np.zeros(n, dtype=bool),
        counts={name: np.zeros((n, corpus.width), dtype=np.int64) for name, corpus in known.corpora.items()},
        hits=binary | {name: np.zeros(n) for name in known.means},
        repeats=np.zeros(n, dtype=np.int64),
        priced=np.zeros((n, 2), dtype=np.int64),
        latencies=[[] for _ in range(n)],
    )


def candidate_units(examples: Sequence[Json], outputs: Sequence[Json], known: Format) -> Units:
    """Raises ValueError (invalid expected answer, example without output) or KeyError (output of no example)."""
    places = {example["id"]: place for place, example in enumerate(examples)}
    # What an output would count that is all wrong, and one that is all right.
    extremes = [
        (known.mark(example["expected"], None), known.mark(example["expected"], example["expected"]))
        for example in examples
    ]
    real, worst, best = (empty_units(len(examples), known) for _ in range(3))
    for output in outputs:
        if output["error"] is not None:
            real.failed[places[output["example"]]] = True
    for output in outputs:
        place = places[output["example"]]
        lost = output["error"] is not None
        marks = known.mark(examples[place]["expected"], output["text"])
        for units, extreme in ((worst, extremes[place][0]), (best, extremes[place][1])):
            _count(units, place, extreme if real.failed[place] else marks)
        if lost:
            real.repeats[place] += 1
        else:
            _count(real, place, marks)
            _measure(real, place, output)
        real.valid.append(None if lost else marks.valid)
        real.exact.append(None if lost else marks.exact)
    if not real.repeats.all():
        raise ValueError("an example has no output")
    real.worst, real.best = worst, best
    return real


def _count(units: Units, place: int, marks: Marks) -> None:
    for name, value in marks.by_metric.items():
        if name in units.counts:
            units.counts[name][place] += value
        else:
            units.hits[name][place] += float(value) if units.hits[name].dtype == np.float64 else value
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
