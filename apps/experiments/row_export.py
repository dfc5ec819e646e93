"""The rows of a version as a file to take away. Test rows stay closed, so they are in none."""

import csv
import io
from collections.abc import Callable, Iterator

import msgspec

from apps.experiments import rows
from apps.experiments.engine.intake.problems import formula_safe
from apps.experiments.models import DatasetVersion

_ROWS_AT_ONCE = 500


def csv_chunks(version: DatasetVersion) -> Iterator[bytes]:
    """UTF-8 with a header, in which no spreadsheet runs a cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["split", "input", "expected", *map(formula_safe, version.columns)])
    for number, row in enumerate(rows.visible_rows(version), start=1):
        kept = (row.columns.get(name, "") for name in version.columns)
        writer.writerow([row.split, *map(formula_safe, (row.input, row.expected, *kept))])
        if number % _ROWS_AT_ONCE == 0:
            yield _taken(text)
    yield _taken(text)


def jsonl_chunks(version: DatasetVersion) -> Iterator[bytes]:
    """One object a line, with the texts exactly as they are stored."""
    lines = []
    for row in rows.visible_rows(version):
        shown = {"split": row.split, "input": row.input, "expected": row.expected, "columns": dict(row.columns)}
        lines.append(msgspec.json.encode(shown))
        if len(lines) == _ROWS_AT_ONCE:
            yield b"\n".join(lines) + b"\n"
            lines = []
    if lines:
        yield b"\n".join(lines) + b"\n"


# By the ending of the file: what makes it, and its content type.
FORMS: dict[str, tuple[Callable[[DatasetVersion], Iterator[bytes]], str]] = {
    "csv": (csv_chunks, "text/csv; charset=utf-8"),
    "jsonl": (jsonl_chunks, "application/jsonl"),
}


def _taken(text: io.StringIO) -> bytes:
    data = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return data
