"""Everything that is known of a version while its rows go by: file, hash, splits, figures, texts to search."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from apps.experiments.engine.intake.measures import Measures
from apps.experiments.engine.intake.rowfile import RowWriter
from apps.experiments.engine.rows import KEPT_COLUMNS, ContentHash
from apps.experiments.engine.search_file import SearchWriter
from apps.experiments.engine.splits import SPLITS


class VersionWriter:
    """Fed with Arrow tables of rows in order. Without `names` the rows are only counted, hashed and measured."""

    def __init__(self, path: Path, *, names: tuple[str, ...] | None, measures: Measures, search: bool) -> None:
        self._measures = measures
        self._digest, self._splits = ContentHash(), Counter[str]()
        self._rows = RowWriter(path, names) if names else None
        self._search = SearchWriter(path) if search else None

    def add(self, table: Any) -> None:
        if not table.num_rows:
            return
        self._measures.take(table)
        columns = {name: table.column(name).to_pylist() for name in _hashed(table)}
        for row in zip(*columns.values(), strict=True):
            self._digest.add(*row)
        self._splits.update(columns["split"])
        if self._search:
            self._search.add(zip(columns["split"], columns["input"], columns["expected"], strict=True))
        if self._rows:
            self._rows.add_table(table)

    def finish(self) -> dict[str, Any]:
        """Close the files, and say what is in them."""
        for part in (self._rows, self._search):
            if part is not None:
                part.close()
        return {
            "accepted": self._splits.total(),
            "splits": {name: self._splits[name] for name in SPLITS},
            "content_hash": self._digest.hexdigest(),
            **self._measures.as_json(),
        }


def _hashed(table: Any) -> list[str]:
    names = ["id", "input", "expected", "group_key", "split"]
    return [*names, KEPT_COLUMNS] if KEPT_COLUMNS in table.schema.names else names
