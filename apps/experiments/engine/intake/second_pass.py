"""The second pass over staged rows: near-duplicates, earlier versions, personal data, lengths, the version's hash."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.experiments.engine.arrow import strings
from apps.experiments.engine.earlier_file import NAMED_GROUP, versions_in
from apps.experiments.engine.groups import Earlier, Regrouped, regroup
from apps.experiments.engine.intake.events import Events
from apps.experiments.engine.intake.measures import Measures
from apps.experiments.engine.intake.problems import ProblemLog
from apps.experiments.engine.intake.rowfile import names_of, tables
from apps.experiments.engine.intake.spec import Mapping, Spec
from apps.experiments.engine.intake.version_writer import VersionWriter
from apps.experiments.engine.rows import taken
from apps.experiments.engine.search_file import LARGE_ROWS
from apps.experiments.engine.splits import splitter
from apps.experiments.engine.text import normalise_input, text_hash


def second_pass(
    spec: Spec, mapping: Mapping, *, first: Path, target: Path, lines: array[int], log: ProblemLog, events: Events
) -> dict[str, Any]:
    """Make `target` of the rows of the first pass, in their order, with the groups and splits that they keep."""
    groups = _regrouped(spec, first, target.with_suffix(".texts"), named=bool(mapping.group), events=events)
    measures = Measures(answer=spec.answer, room=spec.room, tokenizer=spec.tokenizer)
    # Where no row changes, the file of the first pass is the version.
    changes = bool(groups.keys) or measures.has_token_room
    names = names_of(kept=bool(mapping.keep), named=bool(mapping.group)) if changes else None
    writer = VersionWriter(target, names=names, measures=measures, search=len(lines) >= LARGE_ROWS)
    done = 0
    for table in tables(first):
        size = table.num_rows
        table, gone = _patched(table, done, groups, spec)
        for index in gone:
            _leave_out("bridge", table, index, lines[done + index], log)
        for index, params in measures.too_long(table, gone):
            gone.add(index)
            _leave_out("answer_long", table, index, lines[done + index], log, **params)
        writer.add(_without(table, gone))
        done += size
        events.at("writing", done, len(lines), rows=done, last=done == len(lines))
    found = writer.finish()
    if not changes:
        first.replace(target)
    return {
        **found,
        "near_duplicate_groups": groups.clusters,
        "largest_near_duplicate_group": groups.largest,
        "pairs_not_compared": groups.not_compared,
        "earlier_versions": versions_in(Path(spec.earlier)) if spec.earlier else [],
    }


class TextFile:
    """Texts by position in a file: as many as the disk holds. Once one is read, none can be added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb+")
        self._starts = array("Q", [0])
        self._reading = False

    def add(self, text: str) -> None:
        self._starts.append(self._starts[-1] + self._file.write(text.encode()))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> str:
        if not self._reading:
            self._file.flush()
            self._reading = True
        start = self._starts[index]
        # Not mapped into memory: all that was ever read of a mapped file counts as this process's own.
        return os.pread(self._file.fileno(), self._starts[index + 1] - start, start).decode()

    def remove(self) -> None:
        self._file.close()
        self._path.unlink()


def _regrouped(spec: Spec, first: Path, scratch: Path, *, named: bool, events: Events) -> Regrouped:
    texts = TextFile(scratch)
    own: list[str] = []
    digests: list[str] = []
    for table in tables(first, ("input", "group_key")):
        own += table.column("group_key").to_pylist()
        for text in table.column("input").to_pylist():
            folded = normalise_input(text)
            texts.add(folded)
            if spec.earlier:
                digests.append(text_hash(folded))
    earlier = list(_earlier(Path(spec.earlier), texts)) if spec.earlier else []
    try:
        return regroup(
            own,
            texts,
            split=splitter(seed=spec.split_seed, probabilities=spec.probabilities),
            named=named,
            earlier=earlier,
            digests=digests,
            on_progress=lambda done: events.at("comparing", done, len(texts), rows=done, last=done == len(texts)),
        )
    finally:
        texts.remove()


def _earlier(path: Path, texts: TextFile) -> Iterator[Earlier]:
    """The rows of earlier versions, their texts added to `texts`."""
    for table in tables(path):
        named = table.column(NAMED_GROUP).to_pylist() if NAMED_GROUP in table.schema.names else [""] * table.num_rows
        for text, key, name in zip(
            table.column("input").to_pylist(), table.column("group_key").to_pylist(), named, strict=True
        ):
            folded = normalise_input(text)
            texts.add(folded)
            yield Earlier(text_hash(folded), key, name or "")


def _patched(table: Any, first: int, groups: Regrouped, spec: Spec) -> tuple[Any, set[int]]:
    """The table with the groups and splits of its changed rows, and the places of rows that must not stay."""
    changed = {index: groups.keys[first + index] for index in range(table.num_rows) if first + index in groups.keys}
    if not changed:
        return table, set()
    split = splitter(seed=spec.split_seed, probabilities=spec.probabilities)
    keys, splits = table.column("group_key").to_pylist(), table.column("split").to_pylist()
    for index, key in changed.items():
        if key is not None:
            keys[index], splits[index] = key, split(key)
    for name, values in (("group_key", keys), ("split", splits)):
        table = table.set_column(table.schema.get_field_index(name), name, strings(values))
    return table, {index for index, key in changed.items() if key is None}


def _leave_out(code: str, table: Any, index: int, line: int, log: ProblemLog, **params: Any) -> None:
    text = table.column("input")[index].as_py()
    log.add(code, line=line, effect="left_out", text=text, **params)


def _without(table: Any, gone: set[int]) -> Any:
    if not gone:
        return table
    return taken(table, [index for index in range(table.num_rows) if index not in gone])
