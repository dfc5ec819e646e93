"""`inspect`: what a file holds, what its columns seem to mean, and what is wrong with it, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from apps.core.engine.messages import EngineError, Sentence, gettext_noop
from apps.experiments.engine.intake.answers import AnswerProfile
from apps.experiments.engine.intake.checking import Checker, Row, text_of
from apps.experiments.engine.intake.events import Events
from apps.experiments.engine.intake.opening import open_source
from apps.experiments.engine.intake.problems import KINDS, ProblemLog
from apps.experiments.engine.intake.reading import Record, Source
from apps.experiments.engine.intake.spec import Mapping, Spec
from apps.experiments.engine.intake.suggesting import suggested_mapping

EXAMPLES = 5
SHOWN_CHARACTERS = 2000
HEAD_CHARACTERS = 600
_LOOKED_AT = 1000
_EVENT_ROWS = 2000


def inspect(spec: Spec, folder: Path, events: Events) -> dict[str, Any]:
    """The content of `result.json`. A file that must not go on has the sentence in `refused`, with what was found."""
    log = ProblemLog()
    try:
        found = _inspected(spec, open_source(spec, folder, log), events, log)
    except EngineError as error:
        return {**refusal(error), "problems": log.as_json(), "counts": dict(log.counts)}
    return {"refused": None, "refused_sentence": None, **found}


def refusal(error: EngineError) -> dict[str, Any]:
    return {"refused": str(error), "refused_sentence": error.sentence.as_json()}


def watched(source: Source, events: Events) -> Iterator[Record]:
    """The records of a source, with where it stands told from time to time."""
    count = 0
    for record in source.records():
        yield record
        count += 1
        if count % _EVENT_ROWS == 0:
            events.at("reading", source.position, source.size, rows=count)
    events.at("reading", source.size, source.size, rows=count, last=True)


def require_columns(mapping: Mapping, columns: list[str]) -> None:
    """EngineError when the mapping names a column that the file has not, or lacks one."""
    named = [name for name in (mapping.input, mapping.expected, mapping.group, *mapping.keep) if name]
    if mapping.shape == "columns":
        if not mapping.input or not mapping.expected:
            raise EngineError(gettext_noop("Say which column holds the input and which the expected answer."))
        if mapping.input == mapping.expected:
            raise EngineError(gettext_noop("Input and expected answer must be two columns."))
    else:
        named = [name for name in (mapping.group, *mapping.keep) if name and name != "system"]
    missing = [name for name in named if name not in columns]
    if missing:
        raise EngineError(
            gettext_noop("The file has no column %(missing)s. It has: %(columns)s."),
            missing=", ".join(missing),
            columns=", ".join(columns[:50]),
        )


def _nothing_to_read(source: Source) -> EngineError:
    first = source.first_fault()
    if first is None:
        return EngineError(gettext_noop("The file has no row below its first line."))
    line, fault = first
    return EngineError(
        gettext_noop("No row of the file can be read. Line %(line)s: %(why)s"),
        line=line,
        why=Sentence(KINDS[fault.code].sentence, **fault.params),
    )


def _inspected(spec: Spec, source: Source, events: Events, log: ProblemLog) -> dict[str, Any]:
    head, columns = source.head(_LOOKED_AT)
    if not head:
        raise _nothing_to_read(source)
    if len(columns) < 2 and not any("messages" in record for record in head):
        raise EngineError(
            gettext_noop(
                "The file has one column, %(column)s; a column of inputs and one of expected answers are needed."
            ),
            column=columns[0][:80] if columns else "-",
        )
    mapping = spec.mapping or suggested_mapping(head, columns)
    require_columns(mapping, columns)
    profile = AnswerProfile()
    examples: list[dict[str, Any]] = []
    lines: dict[str, int] = {}
    checker = Checker(mapping, spec, log)
    for row in checker.rows(watched(source, events)):
        profile.add(row.expected)
        if len(lines) < _LOOKED_AT:
            lines.setdefault(row.expected, row.line)
        if len(examples) < EXAMPLES:
            examples.append(_shown(row))
    for text, count in profile.respelled():
        log.add(
            "label_spelling",
            line=lines.get(text, 0),
            column=mapping.expected,
            effect="fixed",
            text=text,
            rows=count,
            answer=text,
        )
    for label in profile.seen_once():
        log.add("label_once", line=lines.get(label, 0), column=mapping.expected, effect="kept", answer=label)
    return {
        "format": source.kind.format,
        "encoding": source.kind.encoding,
        "bom": source.kind.bom,
        "delimiter": source.kind.delimiter,
        "columns": columns,
        "shape": mapping.shape,
        "rows": checker.read,
        "usable": checker.accepted,
        "suggested": {**msgspec.to_builtins(mapping), "answer": profile.suggestion()},
        "examples": examples,
        # The same rows by column, so that another mapping can be tried on them.
        "head": [{name: text_of(record.get(name))[:HEAD_CHARACTERS] for name in columns} for record in head[:EXAMPLES]],
        "problems": log.as_json(),
        "counts": dict(log.counts),
        "left_out": log.left_out(),
        "fixed": log.fixed(),
    }


def _shown(row: Row) -> dict[str, Any]:
    """A row for a person to look at; very long texts are cut."""
    return {
        "line": row.line,
        "input": row.input[:SHOWN_CHARACTERS],
        "expected": row.expected[:SHOWN_CHARACTERS],
        "columns": {name: value[:SHOWN_CHARACTERS] for name, value in row.columns.items()},
    }
