"""Reads a JSON answer under the strict rules that every metric of this format shares.

The whole text must be one RFC 8259 object. A duplicate key, NaN or Infinity, or a value that is neither a
string nor a number makes it invalid. A number compares by its literal text, so 12345 equals "12345" and
1.0 differs from 1. Values are NFC-normalised and space-folded; keys are left as they are.
"""

import json
from collections import Counter
from dataclasses import dataclass

from apps.evaluation.engine.metrics.text import fold, storable

Field = tuple[str, str]


class _InvalidAnswer(ValueError):
    """The text is JSON, but not an answer under the rules above."""


class _Pairs(list[tuple[str, object]]):
    """A parsed object, told apart from a parsed array by its type."""


@dataclass(frozen=True)
class AnswerScore:
    """One output against one expected answer; counts are numbers of (key, value) pairs."""

    valid: bool
    exact: bool
    tp: int
    predicted: int
    gold: int
    matched: tuple[Field, ...]
    missed: tuple[Field, ...]
    extra: tuple[Field, ...]

    def as_json(self) -> dict[str, object]:
        """The score as JSON values that PostgreSQL's jsonb accepts too (no NUL, no lone surrogate)."""
        counts: dict[str, object] = {
            "valid": self.valid,
            "exact": self.exact,
            "tp": self.tp,
            "predicted": self.predicted,
            "gold": self.gold,
        }
        fields = {"matched": self.matched, "missed": self.missed, "extra": self.extra}
        return counts | {name: [[storable(k), storable(v)] for k, v in pairs] for name, pairs in fields.items()}


def parse_answer(text: str | None) -> Counter[Field] | None:
    """The multiset of (key, folded value) pairs of an answer, or None if it is invalid."""
    if text is None:
        return None
    try:
        parsed = _DECODER.decode(text)
        if not isinstance(parsed, _Pairs):
            return None
        return Counter((key, _folded(value)) for key, value in parsed)
    except (ValueError, RecursionError):
        return None


def score_answer(expected: str, text: str | None) -> AnswerScore:
    """Score one output against the expected answer.

    An invalid output is an empty prediction. Raises ValueError if the *expected* answer is itself invalid:
    then the dataset is wrong, not the candidate.
    """
    gold = parse_answer(expected)
    if gold is None:
        raise ValueError(f"The expected answer is not a JSON object of strings and numbers: {expected[:80]!r}")
    parsed = parse_answer(text)
    predicted: Counter[Field] = Counter() if parsed is None else parsed
    matched = gold & predicted
    return AnswerScore(
        valid=parsed is not None,
        exact=parsed is not None and predicted == gold,
        tp=matched.total(),
        predicted=predicted.total(),
        gold=gold.total(),
        matched=_listed(matched),
        missed=_listed(gold - predicted),
        extra=_listed(predicted - gold),
    )


def _unique_pairs(pairs: list[tuple[str, object]]) -> _Pairs:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _InvalidAnswer("duplicate key")
    return _Pairs(pairs)


def _refuse_constant(name: str) -> object:
    raise _InvalidAnswer(f"{name} is not JSON")


def _folded(value: object) -> str:
    if not isinstance(value, str):
        raise _InvalidAnswer("value is neither a string nor a number")
    return fold(value)


def _listed(pairs: Counter[Field]) -> tuple[Field, ...]:
    return tuple(pairs.elements())


# Numbers arrive as their literal text: that is what they compare by, and it has no size limit.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_pairs, parse_int=str, parse_float=str, parse_constant=_refuse_constant
)
