"""From a record to a row: the mapping, then every check of a single row. Nothing leaves without being counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from apps.core.engine.messages import EngineError, gettext_noop
from apps.experiments.engine import rows
from apps.experiments.engine.intake.answers import Wrong, check_of
from apps.experiments.engine.intake.problems import ProblemLog
from apps.experiments.engine.intake.reading import Fault, Record
from apps.experiments.engine.intake.spec import Mapping, Spec
from apps.experiments.engine.text import fold_spaces, text_hash

SYSTEM = "system"
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_SYSTEMS = (SYSTEM, "developer")
_NOTHING: dict[str, str] = {}
_CODE_OF_REASON = {
    rows.NOT_UNICODE: "not_unicode",
    rows.NO_INPUT: "no_input",
    rows.NO_ANSWER: "no_answer",
    rows.DUPLICATE: "duplicate",
    rows.OTHER_ANSWER: "other_answer",
}


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row that was accepted. `digest` is that of the normalised input; `group` is empty without a group column."""

    line: int
    input: str
    expected: str
    digest: bytes
    group: str
    columns: dict[str, str]


class Mapped(msgspec.Struct, frozen=True, gc=False):
    input: str
    expected: str
    group: str
    columns: dict[str, str]


def text_of(value: Any) -> str:
    """A JSON value as text: strings as they are, nothing as empty, everything else as compact JSON."""
    if type(value) is str:
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def mapper_of(mapping: Mapping) -> Callable[[dict[str, Any]], Mapped | Fault]:
    return _chat_mapper(mapping) if mapping.shape == "chat" else _column_mapper(mapping)


def _column_mapper(mapping: Mapping) -> Callable[[dict[str, Any]], Mapped | Fault]:
    input_name, expected_name, group_name, keep = mapping.input, mapping.expected, mapping.group, mapping.keep

    def mapped(record: dict[str, Any]) -> Mapped:
        group = text_of(record.get(group_name)) if group_name else ""
        columns = {name: text_of(record.get(name)) for name in keep} if keep else {}
        return Mapped(text_of(record.get(input_name)), text_of(record.get(expected_name)), group, columns)

    return mapped


def _chat_mapper(mapping: Mapping) -> Callable[[dict[str, Any]], Mapped | Fault]:
    group_name, keep = mapping.group, mapping.keep

    def mapped(record: dict[str, Any]) -> Mapped | Fault:
        messages = record.get("messages")
        try:
            system: Any = ""
            if len(messages) == 3 and messages[0]["role"] in _SYSTEMS:  # type: ignore[arg-type, index]  # else TypeError
                first, question, answer = messages  # type: ignore[misc]  # three messages
                system = first["content"]
            elif len(messages) == 2:  # type: ignore[arg-type]  # else TypeError
                question, answer = messages  # type: ignore[misc]  # two messages
            else:
                return _unusable(messages)
            if question["role"] != "user" or answer["role"] != "assistant":
                return _unusable(messages)
            text, expected = question["content"], answer["content"]
        except (KeyError, TypeError):
            return Fault("not_chat", text=text_of(messages))
        if type(text) is not str or type(expected) is not str or type(system) is not str:
            return Fault("not_chat", text=text_of(messages))
        group = text_of(record.get(group_name)) if group_name else ""
        columns = {name: system if name == SYSTEM else text_of(record.get(name)) for name in keep} if keep else _NOTHING
        return Mapped(text, expected, group, columns)

    return mapped


def _unusable(messages: Any) -> Fault:
    """Why a conversation is not one question with one answer."""
    roles = [message["role"] for message in messages]
    return Fault("many_turns" if roles.count("user") > 1 else "no_turn", text=text_of(messages))


def _has_controls(mapped: Mapped) -> bool:
    return any(map(_CONTROLS.search, (mapped.input, mapped.expected, *mapped.columns.values())))


class Checker:
    """Takes records one after the other. `read` = accepted + left out at every moment."""

    def __init__(self, mapping: Mapping, spec: Spec, log: ProblemLog) -> None:
        self.read = self.accepted = self.fixed = 0
        self._mapped = mapper_of(mapping)
        self._check = check_of(spec.answer)
        self._spec, self._log, self._mapping = spec, log, mapping
        self._seen = rows.Seen()
        self._room = spec.room.characters

    def rows(self, records: Iterator[Record]) -> Iterator[Row]:
        """The accepted rows. EngineError when the file has more than `max_rows`."""
        most = self._spec.limits.max_rows
        for line, record in records:
            if self.read == most:
                raise EngineError(gettext_noop("The file has more than %(limit)s rows."), limit=f"{most:,}")
            self.read += 1
            mapped = record if type(record) is Fault else self._mapped(record)  # type: ignore[arg-type]  # not a Fault
            if type(mapped) is Fault:
                self._leave_out(mapped.code, line, mapped.column, mapped.text, **mapped.params)
                continue
            row = self._checked(line, mapped)  # type: ignore[arg-type]  # not a Fault
            if row is not None:
                self.accepted += 1
                yield row
        # The digests of all rows, which nobody asks for again.
        self._seen = rows.Seen()

    def _checked(self, line: int, mapped: Mapped) -> Row | None:
        text, expected, group, columns = mapped.input, mapped.expected, mapped.group, mapped.columns
        # Asking whether a text can be printed is several times faster than looking for what cannot.
        if not (text.isprintable() and expected.isprintable() and not columns) and _has_controls(mapped):
            cleaned = self._without_controls(line, mapped)
            if cleaned is None:
                return None
            text, expected, columns = cleaned.input, cleaned.expected, cleaned.columns
        if self._check is not None and expected.strip():
            answer = self._check(expected)
            if type(answer) is Wrong:
                self._leave_out(answer.code, line, self._answer_column(), expected, **answer.params)
                return None
            if answer != expected:
                if not self._spec.accepts("label_spelling"):
                    self._leave_out("label_spelling", line, self._answer_column(), expected, answer=expected)
                    return None
                self._fix("label_spelling", line, self._answer_column(), expected, answer=expected)
                expected = str(answer)
        if self._room and len(expected) > self._room:
            params = {"length": len(expected), "unit": "characters", "room": self._room}
            self._leave_out("answer_long", line, self._answer_column(), expected, **params)
            return None
        reason, digest = self._seen.check(text, expected)
        if reason:
            code = _CODE_OF_REASON[reason]
            self._leave_out(code, line, self._answer_column() if code == "no_answer" else self._input_column(), text)
            return None
        if (group or columns) and not all(map(rows.is_unicode, (group, *columns.values()))):
            self._leave_out("not_unicode", line, "", text)
            return None
        return Row(
            line, text, expected, digest, text_hash("group", fold_spaces(group)) if group.strip() else "", columns
        )

    def _without_controls(self, line: int, mapped: Mapped) -> Mapped | None:
        names = (self._input_column(), self._answer_column())
        texts = (mapped.input, mapped.expected)
        column = next((name for name, text in zip(names, texts, strict=True) if _CONTROLS.search(text)), "")
        if not self._spec.accepts("control"):
            self._leave_out("control", line, column, mapped.input)
            return None
        self._fix("control", line, column, mapped.input)
        kept = {name: _CONTROLS.sub("", value) for name, value in mapped.columns.items()}
        return Mapped(_CONTROLS.sub("", mapped.input), _CONTROLS.sub("", mapped.expected), mapped.group, kept)

    def _input_column(self) -> str:
        return self._mapping.input or "user"

    def _answer_column(self) -> str:
        return self._mapping.expected or "assistant"

    def _leave_out(self, code: str, line: int, column: str, text: str, **params: Any) -> None:
        self._log.add(code, line=line, column=column, effect="left_out", text=text, **params)

    def _fix(self, code: str, line: int, column: str, text: str, **params: Any) -> None:
        self.fixed += 1
        self._log.add(code, line=line, column=column, effect="fixed", text=text, **params)
