"""Differences between an expected answer and an output, word by word or field by field."""

import json
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "removed", "added"]
FieldState = Literal["same", "changed", "missing", "extra"]
# Beyond this many words, the quadratic matcher would hold up a page.
MAX_WORDS = 4000


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that both sides share, or that only one of them has."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field of a JSON answer on both sides; ``None`` where a side lacks it."""

    name: str
    expected: str | None
    output: str | None
    state: FieldState


def word_pieces(expected: str, output: str) -> list[Piece]:
    """What was taken out of ``expected`` and put in to arrive at ``output``, in reading order."""
    left, right = _words(expected), _words(output)
    if len(left) + len(right) > MAX_WORDS:
        return [Piece("removed", expected), Piece("added", output)]
    pieces: list[Piece] = []
    for tag, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(left[a:b])))
            continue
        if b > a:
            pieces.append(Piece("removed", "".join(left[a:b])))
        if d > c:
            pieces.append(Piece("added", "".join(right[c:d])))
    return pieces


def field_differences(expected: str, output: str) -> list[FieldDifference] | None:
    """Field by field when both sides are JSON objects, expected order first; else None."""
    left, right = _json_object(expected), _json_object(output)
    if left is None or right is None:
        return None
    names = list(left) + [name for name in right if name not in left]
    return [_difference(name, left, right) for name in names]


def _difference(name: str, left: dict[str, str], right: dict[str, str]) -> FieldDifference:
    expected, output = left.get(name), right.get(name)
    if output is None:
        state: FieldState = "missing"
    elif expected is None:
        state = "extra"
    else:
        state = "same" if expected == output else "changed"
    return FieldDifference(name, expected, output, state)


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)


def _json_object(text: str) -> dict[str, str] | None:
    try:
        # Numbers compare by their literal text, as the metric does.
        value = json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    return {
        name: item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for name, item in value.items()
    }
