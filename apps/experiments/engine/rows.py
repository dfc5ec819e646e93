"""Examples as values, and the one Parquet file that holds a version of a dataset."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from apps.core.engine.messages import gettext_noop
from apps.experiments.engine.arrow import positions
from apps.experiments.engine.groups import Earlier, regroup
from apps.experiments.engine.splits import DEFAULT_PROBABILITIES, Split, splitter
from apps.experiments.engine.text import fold_spaces, normalise_input, text_digest, text_hash

# Reasons for leaving a row out. A version keeps them in English; pages translate them.
NOT_UNICODE = gettext_noop("not Unicode text")
NO_INPUT = gettext_noop("empty input")
NO_ANSWER = gettext_noop("empty answer")
DUPLICATE = gettext_noop("duplicate")
OTHER_ANSWER = gettext_noop("same input, another answer")
BRIDGE = gettext_noop("almost the same as earlier rows in different splits")


@dataclass(frozen=True)
class Example:
    """One row: `id` is the hash of input and expected answer, `group_key` decides the split, `columns` are kept."""

    id: str
    input: str
    expected: str
    group_key: str
    split: Split
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class LeftOut:
    """A row that is not in the version, with its place in the source (counted from 1) and the reason."""

    row: int
    reason: str
    input: str


@dataclass(frozen=True)
class Assembled:
    examples: tuple[Example, ...]
    left_out: tuple[LeftOut, ...] = field(default=())

    def count(self, split: Split) -> int:
        return sum(example.split == split for example in self.examples)

    def reasons(self) -> dict[str, int]:
        return dict(Counter(row.reason for row in self.left_out))


def assemble(
    pairs: Sequence[tuple[str, str]],
    *,
    seed: int,
    probabilities: tuple[float, float, float] = DEFAULT_PROBABILITIES,
    earlier: Iterable[Example] = (),
) -> Assembled:
    """Check (input, expected) pairs, leave out what cannot be used, and give each row its group and split.

    Left out, with the reason: empty input, empty answer, text that is not Unicode, an exact duplicate, the same input
    with another answer than its first one. `earlier` are the rows of earlier versions: the same input keeps its group
    key, and so its split, and a near-duplicate of one joins its group. A new row that is a near-duplicate of earlier
    rows in different splits would be a leak wherever it went, so it is left out too.
    """
    nothing: Mapping[str, str] = {}
    rows = [(number, text, expected, nothing) for number, (text, expected) in enumerate(pairs, start=1)]
    return assemble_rows(rows, seed=seed, probabilities=probabilities, earlier=earlier)


def assemble_rows(
    rows: Iterable[tuple[int, str, str, Mapping[str, str]]],
    *,
    seed: int,
    probabilities: tuple[float, float, float] = DEFAULT_PROBABILITIES,
    earlier: Iterable[Example] = (),
) -> Assembled:
    """`assemble` for rows (place, input, expected, kept columns)."""
    kept: list[tuple[int, str, str, Mapping[str, str]]] = []
    left_out: list[LeftOut] = []
    own: list[str] = []
    seen = Seen()
    for place, text, expected, columns in rows:
        reason, digest = seen.check(text, expected)
        if reason:
            left_out.append(LeftOut(row=place, reason=reason, input=text))
        else:
            own.append(digest.hex())
            kept.append((place, text, expected, columns))

    split = splitter(seed=seed, probabilities=probabilities)
    before = list(earlier)
    folded = [normalise_input(text) for _place, text, _expected, _columns in kept]
    groups = regroup(
        own,
        [*folded, *(normalise_input(row.input) for row in before)],
        split=split,
        earlier=[Earlier(text_hash(normalise_input(row.input)), row.group_key) for row in before],
        digests=own,
    )
    examples = []
    for index, (place, text, expected, columns) in enumerate(kept):
        group = groups.keys.get(index, own[index])
        if group is None:
            left_out.append(LeftOut(row=place, reason=BRIDGE, input=text))
        else:
            id_ = text_hash(text, expected)
            examples.append(Example(id_, text, expected, group, split(group), columns))
    return Assembled(examples=tuple(examples), left_out=tuple(sorted(left_out, key=lambda item: item.row)))


class Seen:
    """The inputs taken so far. Memory is the size of two hashes for each, however long the texts are."""

    def __init__(self) -> None:
        self._answers: dict[bytes, int] = {}
        self._answers_count = 0

    def check(self, text: str, expected: str) -> tuple[str, bytes]:
        """Why the row must be left out, or "" after taking it; and the digest of its normalised input."""
        if not (text.isascii() or is_unicode(text)) or not (expected.isascii() or is_unicode(expected)):
            return NOT_UNICODE, b""
        folded = normalise_input(text)
        if not folded:
            return NO_INPUT, b""
        answer = fold_spaces(expected)
        if not answer:
            return NO_ANSWER, b""
        digest = text_digest(folded)
        earlier = self._answers.setdefault(digest, hash(answer))
        if self._answers_count == len(self._answers):
            return (DUPLICATE if earlier == hash(answer) else OTHER_ANSWER), digest
        self._answers_count = len(self._answers)
        return "", digest


def is_unicode(text: str) -> bool:
    """False for half of a surrogate pair, which no file and no database can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_COLUMNS = ("id", "input", "expected", "group_key", "split")
# One more column of JSON text, in files whose rows keep columns beside their input.
KEPT_COLUMNS = "columns"


def columns_text(columns: Mapping[str, str]) -> str:
    """The one way in which kept columns are written: JSON with sorted names; empty without any."""
    return msgspec.json.encode(dict(columns), order="sorted").decode() if columns else ""


class ContentHash:
    """SHA-256 over every row in order: the identity of a version, whatever wrote its file."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, id_: str, text: str, expected: str, group_key: str, split: str, columns: str = "") -> None:
        """`columns` as `columns_text` writes them. A row without any has the hash that it had before they existed."""
        parts = (id_, text, expected, group_key, split, columns) if columns else (id_, text, expected, group_key, split)
        self._digest.update(text_hash(*parts).encode())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def content_hash(examples: Iterable[Example]) -> str:
    """The hash of a version with these rows."""
    digest = ContentHash()
    for row in examples:
        digest.add(row.id, row.input, row.expected, row.group_key, row.split, columns_text(row.columns))
    return digest.hexdigest()


def to_parquet(examples: Sequence[Example]) -> bytes:
    """Five columns of text, and one more where rows keep columns. pyarrow is imported where it is used."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [getattr(example, name) for example in examples] for name in _COLUMNS}
    if any(example.columns for example in examples):
        columns[KEPT_COLUMNS] = [columns_text(example.columns) for example in examples]
    schema = pa.schema([(name, pa.string()) for name in columns])
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes) -> tuple[Example, ...]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(data))
    return tuple(examples_of(file.read(columns=columns_in(file))))


def columns_in(file: Any) -> list[str]:
    """The columns of a rows file that make an `Example`."""
    return [*_COLUMNS, KEPT_COLUMNS] if KEPT_COLUMNS in file.schema_arrow.names else list(_COLUMNS)


def taken(table: Any, places: Iterable[int]) -> Any:
    """The rows of an Arrow table at these places, also when there are none."""
    return table.take(positions(places))


def examples_of(table: Any) -> Iterator[Example]:
    """The rows of an Arrow table or batch with the columns of `columns_in`."""
    values = [table.column(name).to_pylist() for name in _COLUMNS]
    if KEPT_COLUMNS not in table.schema.names:
        return map(Example, *values)
    kept = [msgspec.json.decode(text) if text else {} for text in table.column(KEPT_COLUMNS).to_pylist()]
    return map(Example, *values, kept)
