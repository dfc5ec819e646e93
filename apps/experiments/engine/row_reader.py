"""Reading a rows file by need: one page, one row, one split, or everything once, a row group at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from apps.experiments.engine.arrow import numbers, strings
from apps.experiments.engine.rows import ContentHash, Example, columns_in, columns_text, examples_of, taken
from apps.experiments.engine.splits import SPLITS, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Of one column, which is small.
_GROUPS_AT_ONCE = 32


class RowReader:
    """A file of rows. `opened` opens it anew each time, so that threads do not share a position.

    Memory: four bytes for each row, and one row group while it is read.
    """

    def __init__(self, opened: Callable[[], Any]) -> None:
        self._opened = opened
        self._places: dict[Split, list[NDArray[Any]]] | None = None

    def examples(self, *, split: Split | None = None) -> Iterator[Example]:
        """All rows, or those of a split, in the order of the file."""
        with self._opened() as file:
            for number in range(file.num_row_groups):
                yield from self._of_group(file, number, split)

    def count(self, split: Split) -> int:
        return sum(len(places) for places in self._split_places()[split])

    def page(self, split: Split, *, offset: int, limit: int) -> list[Example]:
        """Rows `offset` to `offset + limit` of a split; negative places are no places."""
        start = max(0, offset)
        return self.at(split, range(start, min(start + max(0, limit), self.count(split))))

    def at(self, split: Split, places: Sequence[int]) -> list[Example]:
        """The rows at ascending places within a split. Reads the row groups that hold them, and no other."""
        inside = self._split_places()[split]
        ends = list(accumulate(len(found) for found in inside))
        wanted: dict[int, list[int]] = {}
        for place in places:
            number = bisect_right(ends, place)
            before = ends[number - 1] if number else 0
            wanted.setdefault(number, []).append(int(inside[number][place - before]))
        found: list[Example] = []
        with self._opened() as file:
            for number, indexes in wanted.items():
                table = file.read_row_group(number, columns=columns_in(file))
                found += examples_of(taken(table, indexes))
        return found

    def by_id(self, id_: str) -> Example | None:
        """The row with an id; None without one."""
        import pyarrow.compute as pc

        wanted = strings([id_])
        with self._opened() as file:
            for groups in _some(file):
                index = pc.index(file.read_row_groups(groups, columns=["id"]).column("id"), wanted[0]).as_py()
                if index >= 0:
                    number, place = _in_group(file, groups, index)
                    table = file.read_row_group(number, columns=columns_in(file))
                    return next(iter(examples_of(table.slice(place, 1))))
        return None

    def content_hash(self) -> str:
        """The hash over all rows: what a version recorded must equal it."""
        digest = ContentHash()
        for row in self.examples():
            digest.add(row.id, row.input, row.expected, row.group_key, row.split, columns_text(row.columns))
        return digest.hexdigest()

    def _of_group(self, file: Any, number: int, split: Split | None) -> Iterator[Example]:
        table = file.read_row_group(number, columns=columns_in(file))
        if split is not None:
            table = taken(table, self._split_places()[split][number])
        return examples_of(table)

    def _split_places(self) -> dict[Split, list[NDArray[Any]]]:
        """For each split and row group, where in the group its rows stand."""
        if self._places is None:
            self._places = self._read_places()
        return self._places

    def _read_places(self) -> dict[Split, list[NDArray[Any]]]:
        import numpy as np
        import pyarrow.compute as pc

        places: dict[Split, list[NDArray[Any]]] = {split: [] for split in SPLITS}
        known = strings(SPLITS)
        with self._opened() as file:
            for groups in _some(file):
                column = file.read_row_groups(groups, columns=["split"]).column("split")
                codes = numbers(pc.index_in(column, known))
                ends = np.cumsum([file.metadata.row_group(number).num_rows for number in groups])
                for inside in np.split(codes, ends[:-1]):
                    for code, split in enumerate(SPLITS):
                        places[split].append(np.flatnonzero(inside == code).astype(np.int32))
        return places


def _some(file: Any) -> Iterator[list[int]]:
    """The numbers of the row groups, as many at a time as are read in one go."""
    for first in range(0, file.num_row_groups, _GROUPS_AT_ONCE):
        yield list(range(first, min(first + _GROUPS_AT_ONCE, file.num_row_groups)))


def _in_group(file: Any, groups: Sequence[int], index: int) -> tuple[int, int]:
    """The row group, and the place in it, of a row that is number `index` of these groups together."""
    ends = list(accumulate(file.metadata.row_group(number).num_rows for number in groups))
    place = bisect_right(ends, index)
    return groups[place], index - (ends[place - 1] if place else 0)
