"""Operations that make one version's rows from another's: tables in, tables out, groups and splits kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apps.experiments.engine.arrow import strings
from apps.experiments.engine.rows import KEPT_COLUMNS, Example, columns_text, taken
from apps.experiments.engine.splits import Split
from apps.experiments.engine.text import normalise_input

Change = Callable[[Any], Any]
SALT = "~"


def with_text(text: str, *, keep: bool) -> Change:
    """Keep the rows whose input or expected answer contains the text, or with `keep` false the others."""
    needle = normalise_input(text)

    def change(table: Any) -> Any:
        pairs = zip(table.column("input").to_pylist(), table.column("expected").to_pylist(), strict=True)
        hits = [any(needle in normalise_input(part) for part in pair) for pair in pairs]
        return taken(table, [place for place, hit in enumerate(hits) if hit == keep])

    return change


def with_labels(labels: Sequence[str]) -> Change:
    """Keep the rows whose expected answer is one of the labels."""
    wanted = set(labels)
    return lambda table: taken(table, _places(table, "expected", lambda answer: answer in wanted))


def without_ids(ids: Sequence[str]) -> Change:
    gone = set(ids)
    return lambda table: taken(table, _places(table, "id", lambda id_: id_ not in gone))


def with_replaced(old: str, row: Example) -> Change:
    """The table with `row` in the place of the row whose id is `old`."""

    def change(table: Any) -> Any:
        places = _places(table, "id", lambda id_: id_ == old)
        for place in places:
            for name in table.schema.names:
                value = columns_text(row.columns) if name == KEPT_COLUMNS else getattr(row, name, None)
                if value is not None:
                    table = _with_value(table, name, place, value)
        return table

    return change


def with_split(group_seen: Callable[[str], bool], place: Callable[[str], Split]) -> Change:
    """New splits by `place`. A group for which `group_seen` gets the first salt under which it is no test group."""
    salted: dict[str, str] = {}

    def key_of(key: str) -> str:
        found = salted.get(key)
        if found is None:
            found = salted[key] = unseen_key(key, group_seen, place)
        return found

    def change(table: Any) -> Any:
        keys = [key_of(key) for key in table.column("group_key").to_pylist()]
        return with_columns(table, {"group_key": keys, "split": [place(key) for key in keys]})

    return change


def unseen_key(key: str, group_seen: Callable[[str], bool], place: Callable[[str], Split]) -> str:
    """The key itself, or with the smallest number behind it that keeps a group seen in a test out of the new one."""
    if not group_seen(key):
        return key
    base = key.partition(SALT)[0]
    number = 1
    while place(f"{base}{SALT}{number}") == "test":
        number += 1
    return f"{base}{SALT}{number}"


def table_of(rows: Sequence[Example], names: Sequence[str]) -> Any:
    """An Arrow table of rows in the columns of a file."""
    import pyarrow as pa

    values = [
        [columns_text(row.columns) if name == KEPT_COLUMNS else getattr(row, name, "") for row in rows]
        for name in names
    ]
    return pa.table(list(map(strings, values)), schema=pa.schema([(name, pa.string()) for name in names]))


def with_columns(table: Any, values: Mapping[str, list[str]]) -> Any:
    for name, column in values.items():
        table = table.set_column(table.schema.get_field_index(name), name, strings(column))
    return table


def _with_value(table: Any, name: str, place: int, value: str) -> Any:
    column = table.column(name).to_pylist()
    column[place] = value
    return with_columns(table, {name: column})


def _places(table: Any, name: str, wanted: Callable[[str], bool]) -> list[int]:
    return [place for place, value in enumerate(table.column(name).to_pylist()) if wanted(value)]
