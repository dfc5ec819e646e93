"""The Parquet file of a version while it is made: written in batches, read in batches, row groups of one size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from apps.experiments.engine.arrow import strings
from apps.experiments.engine.earlier_file import NAMED_GROUP
from apps.experiments.engine.rows import KEPT_COLUMNS

# About a megabyte of text: small enough to read one for each match of a search, large enough to compress well.
ROWS_PER_GROUP = 2_500
BATCH_ROWS = 5_000
_HASHES = ("id", "group_key")
EXAMPLE_COLUMNS = ("id", "input", "expected", "group_key", "split")


class RowWriter:
    """Takes rows as tuples in the order of `names` and writes a row group whenever enough have come."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.names = names
        self._pa = pa
        self._schema = pa.schema([(name, pa.string()) for name in names])
        # Compressing hashes, or a dictionary of texts that are all different, costs much time and saves little.
        packed = [name for name in names if name not in _HASHES]
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression={**dict.fromkeys(_HASHES, "none"), **dict.fromkeys(packed, "zstd")},
            compression_level=dict.fromkeys(packed, 1),
            use_dictionary=["split"],
            write_statistics=False,
        )
        self._batch: list[tuple[str, ...]] = []
        self._arrays: list[Any] = []
        self._waiting = 0

    def add(self, row: tuple[str, ...]) -> None:
        self._batch.append(row)
        if len(self._batch) == BATCH_ROWS:
            self._pack()

    def add_table(self, table: Any) -> None:
        """Rows that are an Arrow table already, in the columns of this file."""
        self._pack()
        self._keep(table.select(list(self.names)).cast(self._schema))

    def _pack(self) -> None:
        if self._batch:
            columns = [strings(values) for values in zip(*self._batch, strict=True)]
            self._batch = []
            self._keep(self._pa.table(columns, schema=self._schema))

    def _keep(self, table: Any) -> None:
        self._arrays.append(table)
        self._waiting += table.num_rows
        if self._waiting >= ROWS_PER_GROUP:
            self._write()

    def _write(self) -> None:
        table = self._pa.concat_tables(self._arrays)
        self._arrays, self._waiting = [], 0
        self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)

    def close(self) -> None:
        self._pack()
        if self._arrays:
            self._write()
        self._writer.close()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()


def names_of(*, kept: bool, named: bool) -> tuple[str, ...]:
    """The columns of a file whose rows keep columns, or named their group."""
    return (*EXAMPLE_COLUMNS, *([KEPT_COLUMNS] if kept else []), *([NAMED_GROUP] if named else []))


def tables(path: Path, columns: tuple[str, ...] | None = None) -> Iterator[Any]:
    """The file as Arrow tables, one for each row group."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=list(columns) if columns else None)
