"""What can be wrong with a file or a row, in words; the list of what was found, capped, counted and kept as a file."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from apps.core.engine.messages import Sentence, gettext_noop
from apps.experiments.engine import rows

Effect = Literal["left_out", "fixed", "kept"]
SHOWN_PER_CODE = 50
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Fix:
    """What is done about a problem when a person accepts it."""

    sentence: str


@dataclass(frozen=True)
class Kind:
    """`reason` names the kind in counts, `sentence` says it of one place, `fix` says what may be done."""

    reason: str
    sentence: str
    fix: Fix | None = None


KINDS: dict[str, Kind] = {
    # of the file
    "encoding": Kind(
        gettext_noop("not UTF-8"),
        gettext_noop("The file is not UTF-8 text; it looks like %(encoding)s."),
        Fix(gettext_noop("Read it as %(encoding)s.")),
    ),
    "bom": Kind(
        gettext_noop("byte order mark"),
        gettext_noop("The file begins with a byte order mark, which is no part of the first name."),
        Fix(gettext_noop("It is skipped.")),
    ),
    "header": Kind(
        gettext_noop("column without a name of its own"),
        gettext_noop("Column %(number)s has no name, or one that an earlier column has; it is called %(name)s here."),
    ),
    # of a row that cannot be read
    "long_line": Kind(
        gettext_noop("line too long"), gettext_noop("The line is longer than %(limit)s bytes and was not read.")
    ),
    "bad_json": Kind(gettext_noop("not valid JSON"), gettext_noop("The line is not valid JSON: %(error)s.")),
    "deep_json": Kind(
        gettext_noop("JSON nested too deeply"),
        gettext_noop("Lists and objects are nested deeper than %(limit)s levels."),
    ),
    "not_object": Kind(
        gettext_noop("not a JSON object"), gettext_noop("A row must be a JSON object with a name for each value.")
    ),
    "bad_quotes": Kind(
        gettext_noop("quotation marks that do not pair"),
        gettext_noop(
            "A quotation mark in this row is not closed, or stands inside a cell without being doubled. All lines up to"
            " line %(last)s were taken for one row."
        ),
    ),
    "ragged": Kind(
        gettext_noop("another number of cells than the header"),
        gettext_noop("The row has %(cells)s cells, the header %(columns)s."),
        Fix(gettext_noop("Missing cells are read as empty, empty extra cells are dropped.")),
    ),
    "extra_cells": Kind(
        gettext_noop("more cells than the header"),
        gettext_noop("The row has %(cells)s cells, the header %(columns)s. Quote a cell that holds the delimiter."),
    ),
    "not_unicode": Kind(rows.NOT_UNICODE, gettext_noop("The row holds bytes that are not UTF-8 text.")),
    "control": Kind(
        gettext_noop("control characters"),
        gettext_noop("The text holds NUL or other control characters."),
        Fix(gettext_noop("They are removed.")),
    ),
    # of a conversation
    "not_chat": Kind(
        gettext_noop("not a conversation"),
        gettext_noop("`messages` must be a list of objects with a role and a content that is text."),
    ),
    "many_turns": Kind(
        gettext_noop("a conversation with more than one turn"),
        gettext_noop("The conversation has several turns; only one question with one answer can be imported."),
    ),
    "no_turn": Kind(
        gettext_noop("a conversation without a question or an answer"),
        gettext_noop("The conversation must end with an answer of the assistant to one message of the user."),
    ),
    # of a row's content
    "no_input": Kind(rows.NO_INPUT, gettext_noop("The input is empty.")),
    "no_answer": Kind(rows.NO_ANSWER, gettext_noop("The expected answer is empty.")),
    "duplicate": Kind(rows.DUPLICATE, gettext_noop("The same row stood before; one is enough.")),
    "other_answer": Kind(
        rows.OTHER_ANSWER, gettext_noop("The same input stood before with another answer; the first one is kept.")
    ),
    "bridge": Kind(
        rows.BRIDGE, gettext_noop("The input is almost the same as rows of earlier versions in different splits.")
    ),
    "label_spelling": Kind(
        gettext_noop("a label in other spelling"),
        gettext_noop("“%(answer)s” differs from a label only by case or spaces."),
        Fix(gettext_noop("It is written as the label.")),
    ),
    "label_unknown": Kind(
        gettext_noop("not one of the labels"), gettext_noop("“%(answer)s” is not one of the %(count)s labels.")
    ),
    "label_once": Kind(
        gettext_noop("a label seen once"),
        gettext_noop("The label “%(answer)s” occurs once, so it cannot be both learned and tested."),
    ),
    "answer_not_json": Kind(
        gettext_noop("answer that is not a JSON object"),
        gettext_noop("The expected answer must be one JSON object whose values are strings or numbers: %(error)s."),
    ),
    "answer_keys": Kind(
        gettext_noop("answer with other keys"),
        gettext_noop("The expected answer has keys that were not named: %(keys)s."),
    ),
    "answer_not_number": Kind(
        gettext_noop("answer that is not a number"), gettext_noop("“%(answer)s” is not a number.")
    ),
    "answer_long": Kind(
        gettext_noop("answer longer than the model's room"),
        gettext_noop("The expected answer takes %(length)s %(unit)s; the model has room for %(room)s."),
    ),
}


# Fixes that a person may decline: what one would have mended is left out then. A byte order mark is in no row.
OFFERED_FIXES = tuple(code for code, kind in KINDS.items() if kind.fix is not None and code != "bom")


@dataclass(frozen=True)
class Found:
    """One problem at one place. `column` is a name, or "byte 12" of a line that is no JSON; line 0 is the file."""

    code: str
    line: int
    column: str
    effect: Effect
    params: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        kind = KINDS[self.code]
        message = Sentence(kind.sentence, **self.params)
        fix = Sentence(kind.fix.sentence, **self.params) if kind.fix else None
        return {
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "effect": self.effect,
            "message": str(message),
            "message_sentence": message.as_json(),
            "fixable": fix is not None,
            "fix": str(fix or ""),
            "fix_sentence": fix.as_json() if fix else None,
        }


class ProblemLog:
    """Counts every problem, remembers the first of each kind, and writes each with its text to `path` when given."""

    def __init__(self, path: Path | None = None) -> None:
        self.first: list[Found] = []
        self.counts: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self._by_effect: Counter[tuple[str, str]] = Counter()
        self._file = path.open("w", encoding="utf-8", newline="") if path else None
        self._writer = csv.writer(self._file) if self._file else None
        if self._writer:
            self._writer.writerow(["line", "column", "done", "what", "text"])

    def add(
        self, code: str, *, line: int, column: str = "", effect: Effect, text: str = "", rows: int = 1, **params: Any
    ) -> None:
        """`rows` have the problem, of which the one in `line` is named."""
        self.counts[code] += rows
        self._by_effect[code, effect] += rows
        shown = {name: shortened(value) if isinstance(value, str) else value for name, value in params.items()}
        if self._named[code] < SHOWN_PER_CODE:
            self._named[code] += 1
            self.first.append(Found(code, line, column, effect, shown))
        if self._writer:
            what = str(Sentence(KINDS[code].sentence, **shown))
            done = {"left_out": "left out", "fixed": "fixed", "kept": "kept"}[effect]
            self._writer.writerow([line, *map(formula_safe, (column, done, what, shortened(text)))])

    def left_out(self) -> dict[str, int]:
        """Rows left out by reason."""
        return {KINDS[code].reason: n for (code, effect), n in sorted(self._by_effect.items()) if effect == "left_out"}

    def fixed(self) -> dict[str, int]:
        """Fixes made by what was wrong; a row may have had several."""
        return {KINDS[code].reason: n for (code, effect), n in sorted(self._by_effect.items()) if effect == "fixed"}

    def as_json(self) -> list[dict[str, Any]]:
        """The first problems of each kind in the order of the file, with how many there are of the kind."""
        ordered = sorted(self.first, key=lambda found: found.line)
        return [{**found.as_json(), "count": self.counts[found.code]} for found in ordered]

    def close(self) -> None:
        if self._file:
            self._file.close()

    def __enter__(self) -> ProblemLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def formula_safe(cell: str) -> str:
    """A cell that no spreadsheet runs: what could begin a formula gets an apostrophe before it."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def shortened(text: str) -> str:
    """At most 200 characters on one line, without what a terminal, a file or a database could stumble over."""
    cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return "".join(char if char.isprintable() else " " for char in cut)
