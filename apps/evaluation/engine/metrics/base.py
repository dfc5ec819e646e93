"""What a metric is: a name, a version, and how one output's score turns into counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from apps.evaluation.engine.metrics.json_answer import AnswerScore

MetricKind = Literal["binary", "corpus_f1"]


@dataclass(frozen=True)
class Metric:
    """A metric over outputs.

    `counts` returns integers that add up over outputs: (hits, 1) for a binary metric, (true positives,
    predicted, gold) for a corpus F1. `signature` names every choice that changes the figure.
    """

    name: str
    label: str
    version: int
    signature: str
    unit: str
    kind: MetricKind
    higher_is_better: bool
    help: str
    counts: Callable[[AnswerScore], tuple[int, ...]]
