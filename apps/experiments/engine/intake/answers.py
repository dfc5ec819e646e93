"""What an answer is: the suggestion made from the answers of a file, and the check of one answer against it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.core.engine.messages import EngineError, gettext_noop
from apps.experiments.engine.text import fold_spaces

MAX_LABELS = 50
MAX_LABEL_CHARACTERS = 60
MAX_FIELDS = 30
# A label is worth learning when it is seen this often on average.
ROWS_PER_LABEL = 4
_DISTINCT_COUNTED = 2000
_MOSTLY = 0.98


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why an answer is none of its format: a code of `problems.KINDS` with its values."""

    code: str
    params: dict[str, Any]


# The answer as it is to be stored, or what is wrong with it.
Check = Callable[[str], "str | Wrong"]


def check_of(answer: dict[str, Any] | None) -> Check | None:
    """The check for {"format": …} as of `DatasetVersion.answer`; None where any text is an answer."""
    match (answer or {"format": "text"}).get("format"):
        case "text":
            return None
        case "label":
            # Labels that nobody named yet: every answer is one.
            return _label_check(answer or {}) if (answer or {}).get("labels") else None
        case "json":
            fields = frozenset((answer or {}).get("fields", ()))
            return lambda text: _checked_object(text, fields)
        case "number":
            return lambda text: text if number_of(text) is not None else Wrong("answer_not_number", {"answer": text})
    raise EngineError(gettext_noop("An answer is text, label, json or number, not %(format)s."), format=answer)


def _label_check(answer: dict[str, Any]) -> Check:
    labels = frozenset(answer.get("labels", ()))
    spelled = {fold_spaces(label).casefold(): label for label in sorted(labels)}

    def check(text: str) -> str | Wrong:
        if text in labels:
            return text
        label = spelled.get(fold_spaces(text).casefold())
        return label if label is not None else Wrong("label_unknown", {"answer": text, "count": len(labels)})

    return check


def number_of(text: str) -> float | None:
    """The finite number that the text is, surrounded by nothing but spaces."""
    try:
        value = float(text.strip().replace("_", "x"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _checked_object(text: str, fields: frozenset[str]) -> str | Wrong:
    found = parsed_object(text)
    if isinstance(found, str):
        return Wrong("answer_not_json", {"error": found})
    other = sorted(found.keys() - fields) if fields else []
    return Wrong("answer_keys", {"keys": ", ".join(other)}) if other else text


def parsed_object(text: str) -> dict[str, str] | str:
    """A JSON object of strings and numbers with unique keys; otherwise what is wrong with it, in English."""
    try:
        value = _DECODER.decode(text.strip())
    except (ValueError, RecursionError) as error:
        return str(error) or "nested too deeply"
    if not isinstance(value, dict):
        return "it is no object"
    for name, item in value.items():
        if not isinstance(item, str):
            return f"the value of {name} is neither a string nor a number"
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str, parse_constant=_no_constant)


class AnswerProfile:
    """Looks at every answer of a file once and then says what an answer is."""

    def __init__(self) -> None:
        self.rows = 0
        # Answers as they are written.
        self._values: Counter[str] = Counter()
        self._many = False
        self._keys: dict[str, int] = {}
        self._objects = self._numbers = 0

    def add(self, text: str) -> None:
        self.rows += 1
        # After so many rows that were no object, none is looked for any more.
        if self._objects * 10 >= self.rows - 100 and text.lstrip()[:1] == "{":
            found = parsed_object(text)
            if not isinstance(found, str):
                self._objects += 1
                for name in found:
                    self._keys[name] = self._keys.get(name, 0) + 1
        if self._numbers * 10 >= self.rows - 100 and number_of(text) is not None:
            self._numbers += 1
        if not self._many:
            self._values[text] += 1
            self._many = len(self._values) > _DISTINCT_COUNTED

    def suggestion(self) -> dict[str, Any]:
        """JSON where answers are objects with few keys, else few frequent labels, else numbers, else text."""
        if self.rows == 0:
            return {"format": "text"}
        if self._objects >= _MOSTLY * self.rows and 0 < len(self._keys) <= MAX_FIELDS:
            return {"format": "json", "fields": list(self._keys)}
        if self._are_labels():
            return {"format": "label", "labels": sorted(map(_commonest, self._spellings()))}
        if self._numbers >= _MOSTLY * self.rows:
            return {"format": "number", "tolerance": 0.0}
        return {"format": "text"}

    def _are_labels(self) -> bool:
        distinct = 0 if self._many else len(self._spellings())
        if not 2 <= distinct <= MAX_LABELS or distinct * ROWS_PER_LABEL > self.rows:
            return False
        return max(map(len, self._values)) <= MAX_LABEL_CHARACTERS

    def _spellings(self) -> list[dict[str, int]]:
        """Answers that differ by case or spaces alone, together, each with how often it occurs."""
        found: dict[str, dict[str, int]] = {}
        for text, n in self._values.items():
            found.setdefault(fold_spaces(text).casefold(), {})[text] = n
        return list(found.values())

    def seen_once(self) -> list[str]:
        """Labels that occur once; empty where answers are no labels."""
        if not self._are_labels():
            return []
        return sorted(_commonest(spelled) for spelled in self._spellings() if sum(spelled.values()) == 1)

    def respelled(self) -> list[tuple[str, int]]:
        """Answers that are a label in other spelling, with how often each occurs; none where answers are no labels."""
        if not self._are_labels():
            return []
        spellings = ((_commonest(spelled), spelled) for spelled in self._spellings())
        return [(text, n) for label, spelled in spellings for text, n in spelled.items() if text != label]


def _commonest(spelled: dict[str, int]) -> str:
    """The label that an answer in several spellings stands for: the one that most rows have, its spaces folded."""
    return fold_spaces(min(spelled, key=lambda text: (-spelled[text], text)))
