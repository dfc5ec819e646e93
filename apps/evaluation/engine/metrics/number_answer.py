"""Answers that are a number: within tolerance, exact match, valid rate.

The whole answer, spaces around it aside, must be one decimal number with an optional sign and exponent, in ASCII
digits: no unit, no thousands separator, no fraction. Numbers are compared as decimals, so 0.1 + 0.2 is 0.3.
"""

import re
from dataclasses import dataclass
from decimal import Context, Decimal

from apps.core.engine.messages import gettext_noop
from apps.evaluation.engine.metrics.base import Metric, Scoring

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
# With these limits every difference is exact in the context below, and no answer can take memory.
_MAX_CHARACTERS = 100
_MAX_EXPONENT = 400
_EXACT = Context(prec=2_000)


@dataclass(frozen=True)
class NumberScore:
    """`distance` is |answer − expected|, None for an answer that is no number."""

    distance: Decimal | None
    within: bool

    @property
    def valid(self) -> bool:
        return self.distance is not None

    @property
    def exact(self) -> bool:
        return self.distance == 0

    def as_json(self) -> dict[str, object]:
        distance = None if self.distance is None else str(self.distance.normalize(_EXACT))
        return {"valid": self.valid, "exact": self.exact, "within": self.within, "distance": distance}


def parse_number(text: str | None) -> Decimal | None:
    """The number that the whole text is, or None. At most 100 characters, and between 1e-400 and 1e400 in size."""
    stripped = (text or "").strip()
    if len(stripped) > _MAX_CHARACTERS or not _NUMBER.fullmatch(stripped):
        return None
    number = Decimal(stripped)
    return number if number == 0 or abs(number.adjusted()) <= _MAX_EXPONENT else None


def number_scoring(tolerance: float) -> Scoring:
    """Metrics and scorer for a number that may differ from the expected one by `tolerance`, itself included."""
    # The shortest text of the double: a tolerance of 0.1 means the decimal 0.1.
    allowed = Decimal(repr(tolerance))
    if not allowed.is_finite() or allowed < 0:
        raise ValueError(f"a tolerance is a finite number of at least 0, got {tolerance!r}")

    def score(expected: str, text: str | None) -> NumberScore:
        gold = parse_number(expected)
        if gold is None:
            raise ValueError(f"The expected answer is not a number: {expected[:80]!r}")
        given = parse_number(text)
        distance = None if given is None else _EXACT.abs(_EXACT.subtract(given, gold))
        return NumberScore(distance, distance is not None and distance <= allowed)

    metrics = _metrics(f"{tolerance:.15g}")
    return Scoring("number", {metric.name: metric for metric in metrics}, "within_tolerance", score)


def _metrics(tolerance: str) -> tuple[Metric, ...]:
    rules = "format:ascii-decimal|text:whole|compared:decimal"
    within_tolerance = Metric(
        name="within_tolerance",
        label=gettext_noop("rate within tolerance"),
        version=1,
        signature=f"within_tolerance|v:1|{rules}|tolerance:{tolerance}:absolute:inclusive|invalid:wrong",
        unit="",
        kind="binary",
        higher_is_better=True,
        help=gettext_noop(
            "Share of answers that differ from the expected number by at most %(tolerance)s. An answer whose whole text"
            " is not one number counts as wrong."
        ),
        help_values={"tolerance": tolerance},
        counts=lambda score: (int(score.within), 1),
    )
    exact_match = Metric(
        name="exact_match",
        label=gettext_noop("exact match"),
        version=1,
        signature=f"exact_match|v:1|{rules}|invalid:wrong",
        unit="",
        kind="binary",
        higher_is_better=True,
        help=gettext_noop(
            "Share of answers that equal the expected number, however it is written: 12.50 equals 12.5. An answer whose"
            " whole text is not one number counts as wrong."
        ),
        counts=lambda score: (int(score.exact), 1),
    )
    valid_rate = Metric(
        name="valid_rate",
        label=gettext_noop("valid number rate"),
        version=1,
        signature=f"valid_rate|v:1|{rules}",
        unit="",
        kind="binary",
        higher_is_better=True,
        help=gettext_noop("Share of outputs whose whole text is one decimal number, without a unit or separators."),
        counts=lambda score: (int(score.valid), 1),
    )
    return within_tolerance, exact_match, valid_rate
