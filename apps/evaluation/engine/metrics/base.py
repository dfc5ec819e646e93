"""What a metric is: a name, a version, how one output's score turns into counts, and counts into a value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from apps.evaluation.engine.stats.bootstrap import Floats, ratio_of

MetricKind = Literal["binary", "mean", "corpus"]


class Scored(Protocol):
    """One output against one expected answer, whatever the format of the answer."""

    @property
    def valid(self) -> bool: ...

    @property
    def exact(self) -> bool: ...

    def as_json(self) -> dict[str, object]:
        """The score as JSON values that a database accepts."""


@dataclass(frozen=True)
class Metric:
    """A metric over outputs. `signature` names every choice that changes the figure.

    `counts` gives numbers that add up over outputs: (hit, 1) for a binary metric, (value between 0 and 1, 1) for a
    mean, whole numbers for a corpus metric, of which `corpus` makes values: (…, width) sums → (…) values. `formula`
    says for the report how that is done. `help_values` stand in the help's place holders.
    """

    name: str
    label: str
    version: int
    signature: str
    unit: str
    kind: MetricKind
    higher_is_better: bool
    help: str
    counts: Callable[[Any], tuple[float, ...]]
    width: int = 2
    corpus: Callable[[Floats], Floats] = ratio_of
    formula: str = ""
    help_values: Mapping[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> type[np.int64] | type[np.float64]:
        """Whole numbers are summed as such; only the values of a mean are fractions."""
        return np.float64 if self.kind == "mean" else np.int64

    def value(self, sums: npt.ArrayLike) -> float:
        """The value of (width,) summed counts; NaN where nothing was counted."""
        return float(self.corpus(np.asarray(sums, dtype=np.float64)[None, :])[0])

    def value_of(self, score: Scored) -> float:
        """The value of one output alone."""
        return self.value(self.counts(score))


@dataclass(frozen=True, eq=False)
class Scoring:
    """Everything that an answer format decides: its metrics by name, which leads by default, and the scorer.

    `score` (expected, output) judges one output and raises ValueError if the *expected* answer is not of the format:
    then the dataset is wrong, not the candidate.
    """

    format: str
    metrics: Mapping[str, Metric]
    primary: str
    score: Callable[[str, str | None], Scored]
