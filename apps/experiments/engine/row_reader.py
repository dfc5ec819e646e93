"""Reading a rows file by need: one page, one row, one split, or everything once, a row group at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Any

from apps.experiments.engine.arrow import numbers, strings
from apps.experiments.engine.rows import ContentHash, Example, columns_in, columns_text, examples_of, taken
from apps.experiments.engine.splits import SPLITS, Split
from apps.experiments.engine.text import normalise_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apps.experiments.engine.near_filter import NearFilter


# Of one column, which is small.
_GROUPS_AT_ONCE = 32


class RowReader:
    """A file of rows. `opened` opens it anew each time, so that threads do not share a position.

    Memory: four bytes for each row, and one row group while it is read.
    """

    def __init__(self, opened: Callable[[], Any]) -> None:
        self._opened = opened
        # For each split and row group that was looked at so far, where in the group its rows stand.
        self._places: dict[Split, list[NDArray[Any]]] = {split: [] for split in SPLITS}
        self._known: Counter[Split] = Counter()
        self._complete = False
        self._lock = Lock()

    def examples(self, *, split: Split | None = None) -> Iterator[Example]:
        """All rows, or those of a split, in the order of the file."""
        with self._opened() as file:
            for number in range(file.num_row_groups):
                yield from self._of_group(file, number, split)

    def page(self, split: Split, *, offset: int, limit: int) -> list[Example]:
        """Rows `offset` to `offset + limit` of a split; negative places are no places."""
        start, end = max(0, offset), max(0, offset) + max(0, limit)
        return self.at(split, range(start, min(end, self._look(split, end))))

    def at(self, split: Split, places: Sequence[int]) -> list[Example]:
        """The rows at ascending places within a split. Reads the row groups that hold them, and no other."""
        self._look(split, max(places, default=-1) + 1)
        inside = self._places[split]
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

    def by_ids(self, ids: Collection[str]) -> dict[str, Example]:
        """The rows with these ids. Row groups that hold none of them are read no further than their ids."""
        import pyarrow.compute as pc

        found: dict[str, Example] = {}
        wanted = strings(sorted(set(ids)))
        with self._opened() as file:
            for groups in _some(file):
                column = file.read_row_groups(groups, columns=["id"]).column("id")
                places: dict[int, list[int]] = {}
                for index in numbers(pc.indices_nonzero(pc.is_in(column, value_set=wanted))).tolist():
                    number, place = _in_group(file, groups, index)
                    places.setdefault(number, []).append(place)
                for number, inside in places.items():
                    table = file.read_row_group(number, columns=columns_in(file))
                    found |= {row.id: row for row in examples_of(taken(table, inside))}
                if len(found) == len(wanted):
                    break
        return found

    def by_id(self, id_: str) -> Example | None:
        """The row with an id; None without one."""
        return self.by_ids([id_]).get(id_)

    def alike(self, wanted: NearFilter, skip: set[bytes] | None = None) -> Iterator[Example]:
        """The rows whose input `wanted` lets through, in the order of the file.

        With `skip`, rows whose id is in it are not looked at, and the ids of all others are added.
        """
        with self._opened() as file:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, columns=columns_in(file))
                if skip is not None:
                    table = taken(table, _unseen(table.column("id").to_pylist(), skip))
                folded = [normalise_input(text) for text in table.column("input").to_pylist()]
                yield from examples_of(taken(table, list(wanted.among(folded))))

    def content_hash(self) -> str:
        """The hash over all rows: what a version recorded must equal it."""
        digest = ContentHash()
        for row in self.examples():
            digest.add(row.id, row.input, row.expected, row.group_key, row.split, columns_text(row.columns))
        return digest.hexdigest()

    def _of_group(self, file: Any, number: int, split: Split | None) -> Iterator[Example]:
        table = file.read_row_group(number, columns=columns_in(file))
        if split is not None:
            self._look(split)
            table = taken(table, self._places[split][number])
        return examples_of(table)

    def _look(self, split: Split, wanted: int | None = None) -> int:
        """Find the places of the first `wanted` rows of a split, or of all. Returns how many of its rows are known."""
        with self._lock:
            if not self._complete and (wanted is None or self._known[split] < wanted):
                with self._opened() as file:
                    for groups in _some(file, start=len(self._places[split])):
                        self._look_at(file, groups)
                        if wanted is not None and self._known[split] >= wanted:
                            break
                    self._complete = len(self._places[split]) == file.num_row_groups
            return self._known[split]

    def _look_at(self, file: Any, groups: Sequence[int]) -> None:
        import numpy as np
        import pyarrow.compute as pc

        column = file.read_row_groups(groups, columns=["split"]).column("split")
        codes = numbers(pc.index_in(column, strings(SPLITS)))
        ends = np.cumsum([file.metadata.row_group(number).num_rows for number in groups])
        for inside in np.split(codes, ends[:-1]):
            for code, split in enumerate(SPLITS):
                places = np.flatnonzero(inside == code).astype(np.int32)
                self._places[split].append(places)
                self._known[split] += len(places)


def _some(file: Any, start: int = 0) -> Iterator[list[int]]:
    """The numbers of the row groups from one on, as many at a time as are read in one go."""
    for first in range(start, file.num_row_groups, _GROUPS_AT_ONCE):
        yield list(range(first, min(first + _GROUPS_AT_ONCE, file.num_row_groups)))


def _in_group(file: Any, groups: Sequence[int], index: int) -> tuple[int, int]:
    """The row group, and the place in it, of a row that is number `index` of these groups together."""
    ends = list(accumulate(file.metadata.row_group(number).num_rows for number in groups))
    place = bisect_right(ends, index)
    return groups[place], index - (ends[place - 1] if place else 0)


def _unseen(ids: list[str], seen: set[bytes]) -> list[int]:
    """Places of the ids that are not in `seen`, to which they are added."""
    places = []
    for place, id_ in enumerate(ids):
        digest = bytes.fromhex(id_)
        if digest not in seen:
            seen.add(digest)
            places.append(place)
    return places
