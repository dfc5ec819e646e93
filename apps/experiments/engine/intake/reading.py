"""Records of a file, one by one, each with its line; what cannot be read is a record too, with the reason."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from apps.core.engine.messages import EngineError, Sentence, gettext_noop
from apps.experiments.engine.intake.problems import KINDS, ProblemLog
from apps.experiments.engine.intake.sniff import CHUNK_BYTES, FileKind
from apps.experiments.engine.intake.spec import Spec

_BYTE = re.compile(r" \(byte (\d+)\)$")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record could not be read: a code of `problems.KINDS` with its values, and the beginning of the text."""

    code: str
    column: str = ""
    text: str = ""
    params: dict[str, Any] = field(default_factory=dict)


Record = tuple[int, dict[str, Any] | Fault]


class Source:
    """A file that is known to be a table of text. `position` is how many of `size` bytes have been read."""

    def __init__(self, path: Path, kind: FileKind, spec: Spec, log: ProblemLog) -> None:
        self.kind, self._spec, self._log = kind, spec, log
        self._path = path
        self._file: BinaryIO | None = None
        self.size = path.stat().st_size
        self.columns: list[str] = []

    @property
    def position(self) -> int:
        return self._file.tell() if self._file and not self._file.closed else 0

    def head(self, count: int) -> tuple[list[dict[str, Any]], list[str]]:
        """The first records that can be read, and the names of their columns. Nothing of it is logged."""
        alone = Source(self._path, self.kind, self._spec, ProblemLog())
        found = [record for _line, record in islice(alone.records(), count) if not isinstance(record, Fault)]
        return found, alone.columns or list(dict.fromkeys(name for record in found for name in record))

    def first_fault(self) -> tuple[int, Fault] | None:
        """The first record that cannot be read, with its line. Nothing of it is logged."""
        alone = Source(self._path, self.kind, self._spec, ProblemLog())
        return next(((line, record) for line, record in alone.records() if isinstance(record, Fault)), None)

    def records(self) -> Iterator[Record]:
        if self.kind.format == "json":
            yield from self._of_json()
            return
        with self._path.open("rb", buffering=CHUNK_BYTES) as file:
            self._file = file
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            yield from self._of_lines(file) if self.kind.format == "jsonl" else self._of_csv(file)

    # --- JSON

    def _of_lines(self, file: BinaryIO) -> Iterator[Record]:
        limits = self._spec.limits
        longest, deepest = limits.max_line_bytes, limits.max_depth
        decode = msgspec.json.Decoder().decode
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest and not line.endswith(b"\n"):
                _skip_line(file)
                yield number, Fault("long_line", text=_start(line), params={"limit": longest})
                continue
            if line.count(b"{") + line.count(b"[") > deepest and _depth(line) > deepest:
                yield number, Fault("deep_json", text=_start(line), params={"limit": deepest})
                continue
            try:
                value = decode(line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                if line.strip():
                    yield number, _json_fault(error, line)
                continue
            yield number, value if type(value) is dict else Fault("not_object", text=_start(line))

    def _of_json(self) -> Iterator[Record]:
        data = self._path.read_bytes().removeprefix(codecs.BOM_UTF8)
        deepest = self._spec.limits.max_depth
        try:
            parts = msgspec.json.decode(data, type=list[msgspec.Raw])
        except RecursionError:
            raise EngineError(KINDS["deep_json"].sentence, limit=deepest) from None
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise EngineError(
                gettext_noop("The file is not a valid JSON list: %(error)s."), error=_with_place(error, data)
            ) from None
        decode = msgspec.json.Decoder().decode
        line, seen = 1, 0
        for part in parts:
            raw = bytes(part)
            start = data.index(raw, seen)
            line += data.count(b"\n", seen, start)
            seen = start
            if raw.count(b"{") + raw.count(b"[") > deepest and _depth(raw) > deepest:
                yield line, Fault("deep_json", text=_start(raw), params={"limit": deepest})
                continue
            try:
                value = decode(raw)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                yield line, _json_fault(error, raw)
                continue
            yield line, value if type(value) is dict else Fault("not_object", text=_start(raw))
            line += raw.count(b"\n")
            seen = start + len(raw)

    # --- CSV and TSV

    def _of_csv(self, file: BinaryIO) -> Iterator[Record]:
        lines = _Lines(file, self._spec.limits.max_line_bytes)
        csv.field_size_limit(self._spec.limits.max_line_bytes)
        reader = csv.reader(lines, delimiter=self.kind.delimiter, strict=True)
        self.columns = self._header(reader)
        names, width = self.columns, len(self.columns)
        while True:
            lines.first = 0
            try:
                cells = next(reader)
            except StopIteration:
                yield from lines.too_long_records()
                return
            except csv.Error:
                yield lines.first, Fault("bad_quotes", text=lines.last, params={"last": lines.number})
                continue
            if lines.too_long:
                yield from lines.too_long_records()
            if len(cells) == width:
                yield lines.first, dict(zip(names, cells, strict=True))
            elif cells:
                yield lines.first, self._ragged(lines.first, cells)

    def _header(self, reader: Any) -> list[str]:
        try:
            cells: list[str] = next(reader, [])
        except csv.Error:
            raise EngineError(gettext_noop("The first line, with the names of the columns, cannot be read.")) from None
        limit = self._spec.limits.max_columns
        if len(cells) > limit:
            raise EngineError(
                gettext_noop("The file has %(count)s columns; at most %(limit)s are read."),
                count=len(cells),
                limit=limit,
            )
        names: list[str] = []
        for number, cell in enumerate(cells, start=1):
            name = cell.strip() or f"column {number}"
            while name in names:
                name = f"{name} ({number})"
            if name != cell.strip():
                self._log.add("header", line=1, column=str(number), effect="kept", number=number, name=name)
            names.append(name)
        return names

    def _ragged(self, line: int, cells: list[str]) -> dict[str, Any] | Fault:
        """A row without some of its last cells, or with empty ones too many, can be mended; another cannot."""
        width = len(self.columns)
        params: dict[str, Any] = {"cells": len(cells), "columns": width}
        text = self.kind.delimiter.join(cells)
        if any(cell.strip() for cell in cells[width:]):
            return Fault("extra_cells", text=text, params=params)
        if not self._spec.accepts("ragged"):
            return Fault("ragged", text=text, params=params)
        self._log.add("ragged", line=line, effect="fixed", text=text, **params)
        return dict(zip(self.columns, [*cells, *[""] * width], strict=False))


class _Lines:
    """Lines of a file as text. A line that is too long is not handed on, and is remembered as a record of its own."""

    def __init__(self, file: BinaryIO, longest: int) -> None:
        self._file, self._longest = file, longest
        self.number, self.last = 0, ""
        # The line at which the present row began; 0 before it has begun.
        self.first = 0
        self.too_long: list[Record] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        while line := self._file.readline(self._longest + 1):
            self.number += 1
            if len(line) <= self._longest or line.endswith(b"\n"):
                # Bytes that are no UTF-8 become lone surrogates, which the check of each row finds.
                self.last = line.decode("utf-8", "surrogateescape")
                self.first = self.first or self.number
                return self.last
            _skip_line(self._file)
            fault = Fault("long_line", text=_start(line), params={"limit": self._longest})
            self.too_long.append((self.number, fault))
        raise StopIteration

    def too_long_records(self) -> list[Record]:
        found, self.too_long = self.too_long, []
        return found


def converted(path: Path, kind: FileKind, target: Path) -> None:
    """Write the file as UTF-8 with the same lines, so that everything after this reads one encoding."""
    decoder = codecs.getincrementaldecoder(kind.encoding)("replace")
    with path.open("rb") as source, target.open("w", encoding="utf-8", newline="") as copy:
        held = ""
        while chunk := source.read(CHUNK_BYTES):
            text = held + decoder.decode(chunk)
            # A carriage return at the end may be half of a line end.
            held = text[-1:] if text.endswith("\r") else ""
            copy.write(text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n"))
        copy.write((held + decoder.decode(b"", True)).replace("\r\n", "\n").replace("\r", "\n"))


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(CHUNK_BYTES)) and not rest.endswith(b"\n"):
        pass


def _start(line: bytes) -> str:
    return line[:1000].decode("utf-8", "replace")


def _depth(data: bytes) -> int:
    """How deep brackets are nested outside strings."""
    depth = deepest = 0
    for match in _BRACKETS.finditer(data):
        mark = match[0]
        if mark in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
        elif mark in (b"}", b"]"):
            depth -= 1
    return deepest


def _json_fault(error: Exception, line: bytes) -> Fault:
    if isinstance(error, UnicodeError):
        return Fault("not_unicode", text=_start(line))
    place = _BYTE.search(str(error))
    column = f"byte {place[1]}" if place else ""
    message = _json_message(error)
    return Fault("bad_json", column=column, text=_start(line), params={"error": message})


def _json_message(error: Exception) -> Sentence | str:
    """What the parser found wrong, without its place."""
    if str(error).startswith("Input data was truncated"):
        return Sentence(gettext_noop("it ends in the middle"))
    return str(error).removeprefix("JSON is malformed: ").partition(" (byte")[0]


def _with_place(error: Exception, data: bytes) -> Sentence | str:
    place = _BYTE.search(str(error))
    message = _json_message(error)
    if not place:
        return message
    offset = int(place[1])
    line, before = data.count(b"\n", 0, offset) + 1, data.rfind(b"\n", 0, offset)
    return f"{message}, line {line}, byte {offset - before}"
