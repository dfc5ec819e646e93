"""The rows of a dataset's earlier versions in one file, for the intake to follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from apps.experiments.engine.arrow import strings
from apps.experiments.engine.rows import taken
from apps.experiments.engine.text import text_digest

# Of a row that named its group, in files that were imported with a group column. No part of an example.
NAMED_GROUP = "named_group"
_COLUMNS = ("id", "input", "expected", "group_key", "split")
_VERSIONS = b"versions"


def write_earlier(path: Path, opened: Sequence[Callable[[], Any]], *, hashes: Sequence[str]) -> None:
    """Each input once, as its oldest version has it. `opened` opens the versions' files, oldest first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*_COLUMNS, NAMED_GROUP]
    schema = pa.schema([(name, pa.string()) for name in names], metadata={_VERSIONS: ",".join(hashes).encode()})
    seen: set[bytes] = set()
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for open_file in opened:
            with open_file() as file:
                for number in range(file.num_row_groups):
                    table = file.read_row_group(number)
                    new = _unseen(table.column("input").to_pylist(), seen)
                    writer.write_table(_with_named(taken(table, new)).select(names).cast(schema))


def versions_in(path: Path) -> list[str]:
    """Content hashes of the versions whose rows the file holds; none in a file that does not say."""
    import pyarrow.parquet as pq

    found = (pq.read_schema(path).metadata or {}).get(_VERSIONS, b"").decode()
    return found.split(",") if found else []


def _unseen(texts: list[str], seen: set[bytes]) -> list[int]:
    places = []
    for place, text in enumerate(texts):
        digest = text_digest(text)
        if digest not in seen:
            seen.add(digest)
            places.append(place)
    return places


def _with_named(table: Any) -> Any:
    """Rows of a file without named groups have none."""
    if NAMED_GROUP in table.schema.names:
        return table
    return table.append_column(NAMED_GROUP, strings([""] * table.num_rows))
