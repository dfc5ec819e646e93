"""Answers that are one of a few labels: accuracy, macro F1, valid rate.

The whole answer, after NFC and space folding, must be one of the labels; case is kept. Anything else is invalid: wrong
for accuracy, and no prediction for F1.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.core.engine.messages import gettext_noop
from apps.evaluation.engine.metrics.base import Metric, Scoring
from apps.evaluation.engine.metrics.text import fold, storable
from apps.evaluation.engine.stats.bootstrap import Floats


@dataclass(frozen=True)
class LabelScore:
    """`answer` is the place of the given label among all of them, None for an answer that is none."""

    expected: int
    answer: int | None
    label: str | None

    @property
    def valid(self) -> bool:
        return self.answer is not None

    @property
    def exact(self) -> bool:
        return self.answer == self.expected

    def as_json(self) -> dict[str, object]:
        label = None if self.label is None else storable(self.label)
        return {"valid": self.valid, "exact": self.exact, "label": label}


def label_scoring(labels: Sequence[str]) -> Scoring:
    """Metrics and scorer for these labels; labels that fold to the same text are one."""
    places = {label: place for place, label in enumerate(dict.fromkeys(map(fold, labels)))}
    if len(places) < 2 or "" in places:
        raise ValueError(f"an answer that is a label needs at least two labels, none of them empty, got {labels!r}")

    def score(expected: str, text: str | None) -> LabelScore:
        gold = fold(expected)
        if gold not in places:
            raise ValueError(f"The expected answer is not one of the labels: {expected[:80]!r}")
        label = None if text is None or (given := fold(text)) not in places else given
        return LabelScore(places[gold], None if label is None else places[label], label)

    metrics = _metrics(list(places))
    return Scoring("label", {metric.name: metric for metric in metrics}, "accuracy", score)


def macro_f1_of(sums: Floats) -> Floats:
    """Mean F1 over labels of (…, 3 × labels) sums: true positives, predicted and expected of each label in turn.

    A label that was neither predicted nor expected has no F1 and is left out of the mean; NaN where all are.
    """
    by_label = sums.reshape(*sums.shape[:-1], -1, 3)
    pairs = by_label[..., 1] + by_label[..., 2]
    f1 = np.divide(2 * by_label[..., 0], pairs, out=np.zeros_like(pairs), where=pairs > 0)
    occurring = np.count_nonzero(pairs > 0, axis=-1)
    return np.divide(f1.sum(axis=-1), occurring, out=np.full(occurring.shape, np.nan), where=occurring > 0)


def _metrics(labels: Sequence[str]) -> tuple[Metric, ...]:
    # Which labels there are changes the figures, so it is part of the signature.
    digest = hashlib.sha256("\n".join(labels).encode("utf-8", "replace")).hexdigest()[:8]
    rules = f"format:label|labels:{len(labels)}:{digest}|fold:nfc+space|case:kept"

    def by_label(score: LabelScore) -> tuple[int, ...]:
        counts = [0] * (3 * len(labels))
        counts[3 * score.expected + 2] = 1
        if score.answer is not None:
            counts[3 * score.answer + 1] = 1
            counts[3 * score.answer] = int(score.exact)
        return tuple(counts)

    accuracy = Metric(
        name="accuracy",
        label=gettext_noop("accuracy"),
        version=1,
        signature=f"accuracy|v:1|{rules}|invalid:wrong",
        unit="",
        kind="binary",
        higher_is_better=True,
        help=gettext_noop(
            "Share of answers that are the expected label after Unicode normalisation and space folding. An answer that"
            " is none of the %(count)s labels counts as wrong."
        ),
        help_values={"count": str(len(labels))},
        counts=lambda score: (int(score.exact), 1),
    )
    macro_f1 = Metric(
        name="macro_f1",
        label=gettext_noop("macro F1"),
        version=1,
        signature=f"macro_f1|v:1|{rules}|average:labels|absent-on-both-sides:left-out|invalid:no-prediction",
        unit="",
        kind="corpus",
        higher_is_better=True,
        help=gettext_noop(
            "F1 of each label over all answers, then the mean over the labels, so that a rare label weighs as much as a"
            " common one. A label that is neither expected nor given is left out; an answer that is none of the labels"
            " counts as none given."
        ),
        counts=by_label,
        width=3 * len(labels),
        corpus=macro_f1_of,
        formula=(
            "Macro F1 of a resample = mean over labels of 2*TP / (predicted + gold) of the sums over its units, labels"
            " of which both are 0 left out"
        ),
    )
    valid_rate = Metric(
        name="valid_rate",
        label=gettext_noop("valid label rate"),
        version=1,
        signature=f"valid_rate|v:1|{rules}",
        unit="",
        kind="binary",
        higher_is_better=True,
        help=gettext_noop("Share of outputs whose whole text is one of the labels."),
        counts=lambda score: (int(score.valid), 1),
    )
    return accuracy, macro_f1, valid_rate
