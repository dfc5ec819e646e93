"""Examples as values, and the one Parquet file that holds a version of a dataset."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.core.engine.messages import gettext_noop
from apps.experiments.engine.near_duplicates import group_keys
from apps.experiments.engine.splits import DEFAULT_PROBABILITIES, Split, split_of
from apps.experiments.engine.text import fold_spaces, normalise_input, text_hash

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
    kept: list[tuple[int, str, str]] = []
    left_out: list[LeftOut] = []
    answers: dict[str, str] = {}
    for row, (text, expected) in enumerate(pairs, start=1):
        reason = _reason_against(text, expected, answers)
        if reason:
            left_out.append(LeftOut(row=row, reason=reason, input=text))
        else:
            answers[normalise_input(text)] = fold_spaces(expected)
            kept.append((row, text, expected))

    def place(group: str) -> Split:
        return split_of(seed=seed, group_key=group, probabilities=probabilities)

    examples = []
    groups = _groups([text for _row, text, _expected in kept], list(earlier), place)
    for (row, text, expected), group in zip(kept, groups, strict=True):
        if group is None:
            left_out.append(LeftOut(row=row, reason=BRIDGE, input=text))
        else:
            id_ = text_hash(text, expected)
            examples.append(Example(id=id_, input=text, expected=expected, group_key=group, split=place(group)))
    return Assembled(examples=tuple(examples), left_out=tuple(sorted(left_out, key=lambda item: item.row)))


def _groups(texts: list[str], earlier: list[Example], place: Callable[[str], Split]) -> list[str | None]:
    """The group key of each text; None where its near-duplicates of earlier versions stand in different splits."""
    known = {text_hash(normalise_input(row.input)): row.group_key for row in earlier}
    clusters = group_keys([*texts, *(row.input for row in earlier)])
    settled: dict[str, set[str]] = {}
    for row, cluster in zip(earlier, clusters[len(texts) :], strict=True):
        settled.setdefault(cluster, set()).add(row.group_key)
    groups: list[str | None] = []
    for text, cluster in zip(texts, clusters, strict=False):
        own, keys = known.get(text_hash(normalise_input(text))), settled.get(cluster, {cluster})
        one_split = len({place(key) for key in keys}) == 1
        groups.append(own or (min(keys) if one_split else None))
    return groups


def _reason_against(text: str, expected: str, answers: dict[str, str]) -> str:
    if not _is_unicode(text) or not _is_unicode(expected):
        return NOT_UNICODE
    if not text.strip():
        return NO_INPUT
    if not expected.strip():
        return NO_ANSWER
    earlier = answers.get(normalise_input(text))
    if earlier is None:
        return ""
    return DUPLICATE if earlier == fold_spaces(expected) else OTHER_ANSWER


def _is_unicode(text: str) -> bool:
    """False for half of a surrogate pair, which no file and no database can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_COLUMNS = ("id", "input", "expected", "group_key", "split")


def content_hash(examples: Iterable[Example]) -> str:
    """SHA-256 over every row in order: the identity of a version, whatever wrote its file."""
    digest = hashlib.sha256()
    for example in examples:
        row = text_hash(example.id, example.input, example.expected, example.group_key, example.split)
        digest.update(row.encode())
    return digest.hexdigest()


def _schema() -> Any:
    """Five columns of text. pyarrow is imported where it is used: most processes never read a dataset."""
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in _COLUMNS])


def to_parquet(examples: Sequence[Example]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [getattr(example, name) for example in examples] for name in _COLUMNS}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, schema=_schema()), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes) -> tuple[Example, ...]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data), schema=_schema())
    return tuple(Example(**row) for row in table.to_pylist())
