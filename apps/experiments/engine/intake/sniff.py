"""What kind of file it is, told from its content: encoding, format and delimiter. Its name proves nothing."""

import codecs
import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from apps.core.engine.messages import EngineError, gettext_noop

Format = Literal["csv", "tsv", "jsonl", "json"]
HEAD_BYTES = 256 * 1024
CHUNK_BYTES = 2**20
HEAD_LINES = 200
_DELIMITERS = (",", ";", "\t", "|")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class _Known:
    """How files begin that somebody may take for a table, and what to do with them."""

    magic: bytes
    sentence: str


_KNOWN = (
    _Known(
        b"PK\x03\x04",
        gettext_noop("This is a spreadsheet (XLSX, ODS) or a ZIP archive. Upload the table as CSV."),
    ),
    _Known(b"\xd0\xcf\x11\xe0", gettext_noop("This is a spreadsheet (XLS). Save the table as CSV and upload that.")),
    _Known(b"\x1f\x8b", gettext_noop("This is a gzip archive. Unpack it and upload the file inside.")),
    _Known(b"BZh", gettext_noop("This is a bzip2 archive. Unpack it and upload the file inside.")),
    _Known(b"\xfd7zXZ", gettext_noop("This is an xz archive. Unpack it and upload the file inside.")),
    _Known(b"7z\xbc\xaf", gettext_noop("This is a 7z archive. Unpack it and upload the file inside.")),
    _Known(b"\x28\xb5\x2f\xfd", gettext_noop("This is a Zstandard archive. Unpack it and upload the file inside.")),
    _Known(b"PAR1", gettext_noop("This is a Parquet file. Export it as CSV or JSONL and upload that.")),
    _Known(b"%PDF", gettext_noop("This is a PDF. Upload a table: CSV, TSV, JSONL or JSON.")),
    _Known(b"SQLite format 3", gettext_noop("This is a database. Export the table as CSV and upload that.")),
)
NOT_TEXT = gettext_noop("This is not a text file. Upload CSV, TSV, JSONL or JSON.")


@dataclass(frozen=True)
class FileKind:
    """`encoding` is a codec's name; `convert` says that the bytes must be rewritten as UTF-8 before they are read."""

    format: Format
    encoding: str
    bom: bool
    delimiter: str = ""
    convert: bool = False


def sniff(path: Path) -> FileKind:
    """EngineError with a plain sentence for a file that is no table of text."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        raise EngineError(gettext_noop("The file is empty."))
    for known in _KNOWN:
        if head.startswith(known.magic):
            raise EngineError(known.sentence)
    encoding, bom = _encoding(path, head)
    whole = len(head) < HEAD_BYTES
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head, whole).lstrip("\ufeff")
    if _share_of_controls(text) > 0.1:
        raise EngineError(NOT_TEXT)
    if not text.strip():
        raise EngineError(gettext_noop("The file is empty."))
    old_lines = "\n" not in text and "\r" in text
    format_, delimiter = _format(path, text, whole)
    return FileKind(format_, encoding, bom, delimiter, convert=encoding != "utf-8" or old_lines)


def _encoding(path: Path, head: bytes) -> tuple[str, bool]:
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, True
    # Without a mark, UTF-16 shows by every second byte being NUL.
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = head[offset::2]
        if len(half) > 1 and half.count(0) > 0.4 * len(half) and head[1 - offset :: 2].count(0) < 0.1 * len(half):
            return encoding, False
    if _is_utf8(path):
        return "utf-8", False
    return _single_byte(path), False


def _chunks(path: Path) -> Any:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    whole = True
    try:
        for chunk in _chunks(path):
            # Plain ASCII after whole characters, as most chunks are, is seen many times faster than it is decoded.
            if not (whole and chunk.isascii()):
                decoder.decode(chunk)
                whole = decoder.getstate() == (b"", 0)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _single_byte(path: Path) -> str:
    """Windows-1252 unless a byte occurs that it does not know."""
    unknown = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
    for chunk in _chunks(path):
        if len(chunk.translate(None, unknown)) != len(chunk):
            return "latin-1"
    return "cp1252"


def _share_of_controls(text: str) -> float:
    controls = sum(n for char, n in Counter(text[:65536]).items() if ord(char) < 32 and char not in "\t\n\r\f")
    return controls / max(1, len(text[:65536]))


def _format(path: Path, text: str, whole: bool) -> tuple[Format, str]:
    start = text.lstrip()
    if start[0] == "[":
        return "json", ""
    if start[0] == "{":
        return _json_object(path, start, whole)
    lines = text.splitlines(keepends=True)[:HEAD_LINES]
    if not whole and len(lines) < HEAD_LINES:
        lines = lines[:-1] or lines
    delimiter = _delimiter(lines)
    return ("tsv" if delimiter == "\t" else "csv"), delimiter


def _json_object(path: Path, start: str, whole: bool) -> tuple[Format, str]:
    """Lines of objects, unless the file is one object over several lines."""
    first = start.partition("\n")[0]
    if not _is_json(first) and whole and _is_json(start):
        raise EngineError(
            gettext_noop("The file is one JSON object. A table is a list of objects, or one object on each line.")
        )
    return "jsonl", ""


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False
    return True


def _delimiter(lines: list[str]) -> str:
    """The delimiter under which most rows have as many cells as the header; then the one with most columns."""
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        counts = _cell_counts(lines, delimiter)
        if not counts or counts[0] < 2:
            continue
        agreeing = sum(count == counts[0] for count in counts) / len(counts)
        score = (round(agreeing, 1), counts[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _cell_counts(lines: list[str], delimiter: str) -> list[int]:
    counts: list[int] = []
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return counts
        except csv.Error:
            continue
        if row:
            counts.append(len(row))
