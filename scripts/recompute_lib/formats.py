"""What an answer is: how outputs of each format are marked, and how marks become figures.

Marks of one output, per metric: 0 or 1 for a yes-or-no metric, a fraction for a mean over examples, a tuple of whole
numbers that add up for a corpus metric.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from scripts.recompute_lib import texts
from scripts.recompute_lib.answers import fold, pair_counts, read_answer, try_answer

NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


@dataclass(frozen=True)
class Marks:
    valid: bool
    exact: bool
    by_metric: Mapping[str, Any]


@dataclass(frozen=True)
class Corpus:
    """A figure of summed counts: `drawn` for rows of sums in doubles, `exact` for one row."""

    width: int
    drawn: Callable[[np.ndarray], np.ndarray]
    exact: Callable[[Sequence[int]], Fraction]

    def of(self, sums: np.ndarray) -> Fraction:
        """Of one row of sums, as Python's integers: numpy's would overflow in fractions."""
        return self.exact(sums.tolist())


@dataclass(frozen=True)
class Format:
    """`mark` (expected, output) raises ValueError for an expected answer that is not of the format."""

    binary: tuple[str, ...]
    mark: Callable[[str, str | None], Marks]
    means: tuple[str, ...] = ()
    corpora: Mapping[str, Corpus] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*self.corpora, *self.binary, *self.means)


def format_of(report: Mapping[str, Any]) -> Format:
    """By `experiment.answer`; a report without it has JSON answers. Raises ValueError for one that is unknown."""
    answer = report["experiment"].get("answer") or {"format": "json"}
    if answer["format"] == "json":
        return JSON
    if answer["format"] == "label":
        return label_format(answer["labels"])
    if answer["format"] == "number":
        return number_format(answer.get("tolerance", 0))
    if answer["format"] == "text":
        return TEXT
    raise ValueError(f"experiment.answer.format: {answer['format']!r} is unknown")


def mark_json(expected: str, text: str | None) -> Marks:
    gold, answer = read_answer(expected), try_answer(text)
    right, valid = answer == gold, answer is not None
    counts = pair_counts(gold, answer)
    return Marks(valid, right, {"field_f1": counts, "exact_match": int(right), "valid_rate": int(valid)})


def micro_f1(sums: Sequence[int]) -> Fraction:
    return Fraction(2 * sums[0], sums[1] + sums[2]) if sums[1] + sums[2] else Fraction(1)


def micro_f1_drawn(sums: np.ndarray) -> np.ndarray:
    bottom = sums[:, 1] + sums[:, 2]
    return np.where(bottom == 0, 1.0, 2 * sums[:, 0] / np.where(bottom == 0, 1, bottom))


def label_format(labels: Sequence[str]) -> Format:
    """The folded answer is a label or invalid; F1 of each label from its (right, given, expected)."""
    known = sorted({fold(label) for label in labels})

    def mark(expected: str, text: str | None) -> Marks:
        gold, answer = fold(expected), None if text is None else fold(text)
        if gold not in known:
            raise ValueError(f"the expected answer {expected!r} is none of the labels")
        valid, right = answer in known, answer == gold
        counts = tuple(
            int(fact) for label in known for fact in (right and label == gold, label == answer, label == gold)
        )
        return Marks(valid, right, {"accuracy": int(right), "macro_f1": counts, "valid_rate": int(valid)})

    macro = Corpus(3 * len(known), macro_f1_drawn, macro_f1)
    return Format(("accuracy", "valid_rate"), mark, corpora={"macro_f1": macro})


def macro_f1(sums: Sequence[int]) -> Fraction:
    """The mean over labels that are given or expected at all."""
    rows = [sums[at : at + 3] for at in range(0, len(sums), 3)]
    scores = [Fraction(2 * right, given + gold) for right, given, gold in rows if given + gold]
    return sum(scores, Fraction(0)) / len(scores)


def macro_f1_drawn(sums: np.ndarray) -> np.ndarray:
    right, bottom = sums[:, 0::3], sums[:, 1::3] + sums[:, 2::3]
    scores = np.where(bottom > 0, 2 * right / np.where(bottom > 0, bottom, 1), 0)
    return scores.sum(axis=1) / (bottom > 0).sum(axis=1)


def number_of(text: str | None) -> Fraction | None:
    """One decimal number of at most 100 characters, and between 1e-400 and 1e400 in size unless it is 0."""
    stripped = (text or "").strip()
    if len(stripped) > 100 or not NUMBER.fullmatch(stripped):
        return None
    digits, _, exponent = stripped.lower().partition("e")
    coefficient = Fraction(digits)
    if coefficient == 0:
        return coefficient
    # Ten thousand digits at most: the exponent has no more than four.
    value = coefficient * Fraction(10) ** int(exponent or 0)
    return value if Fraction(10) ** -400 <= abs(value) < Fraction(10) ** 401 else None


def number_format(tolerance: float) -> Format:
    allowed = Fraction(repr(float(tolerance)))

    def mark(expected: str, text: str | None) -> Marks:
        gold, answer = number_of(expected), number_of(text)
        if gold is None:
            raise ValueError(f"the expected answer {expected!r} is no number")
        valid, right = answer is not None, answer == gold
        within = answer is not None and abs(answer - gold) <= allowed
        marks = {"within_tolerance": int(within), "exact_match": int(right), "valid_rate": int(valid)}
        return Marks(valid, right, marks)

    return Format(("within_tolerance", "exact_match", "valid_rate"), mark)


def mark_text(expected: str, text: str | None) -> Marks:
    if not expected.strip():
        raise ValueError("an expected answer is empty")
    given = text or ""
    right = fold(given) == fold(expected)
    marks = {
        "token_f1": texts.token_f1(expected, given),
        "rouge_l": texts.rouge_l(expected, given),
        "chrf": texts.chrf_counts(expected, given),
        "exact_match": int(right),
    }
    return Marks(given.strip() != "", right, marks)


JSON = Format(("exact_match", "valid_rate"), mark_json, corpora={"field_f1": Corpus(3, micro_f1_drawn, micro_f1)})
TEXT = Format(
    ("exact_match",),
    mark_text,
    means=("token_f1", "rouge_l"),
    corpora={"chrf": Corpus(18, texts.chrf_drawn, texts.chrf)},
)
