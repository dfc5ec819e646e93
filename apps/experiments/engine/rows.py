"""Examples as values, and the one Parquet file that holds a version of a dataset."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from apps.experiments.engine.near_duplicates import group_keys
from apps.experiments.engine.splits import DEFAULT_PROBABILITIES, Split, split_of
from apps.experiments.engine.text import fold_spaces, normalise_input, text_hash


@dataclass(frozen=True)
class Example:
    """One row: `id` is the hash of input and expected answer, `group_key` decides the split."""

    id: str
    input: str
    expected: str
    group_key: str
    split: Split


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
    inherited: dict[str, str] | None = None,
) -> Assembled:
    """Check (input, expected) pairs, leave out what cannot be used, and give each row its group and split.

    Left out, with the reason: empty input, empty answer, an exact duplicate, the same input with another answer
    than its first one. `inherited` maps group keys of an earlier version's rows to keep them: an input whose
    normalised hash is in it takes that key.
    """
    kept: list[tuple[str, str]] = []
    left_out: list[LeftOut] = []
    answers: dict[str, str] = {}
    for row, (text, expected) in enumerate(pairs, start=1):
        reason = _reason_against(text, expected, answers)
        if reason:
            left_out.append(LeftOut(row=row, reason=reason, input=text))
        else:
            answers[normalise_input(text)] = fold_spaces(expected)
            kept.append((text, expected))
    keys = group_keys([text for text, _ in kept])
    known = inherited or {}
    examples = tuple(
        Example(
            id=text_hash(text, expected),
            input=text,
            expected=expected,
            group_key=(group := known.get(text_hash(normalise_input(text)), key)),
            split=split_of(seed=seed, group_key=group, probabilities=probabilities),
        )
        for (text, expected), key in zip(kept, keys, strict=True)
    )
    return Assembled(examples=examples, left_out=tuple(left_out))


def _reason_against(text: str, expected: str, answers: dict[str, str]) -> str:
    if not text.strip():
        return "empty input"
    if not expected.strip():
        return "empty answer"
    earlier = answers.get(normalise_input(text))
    if earlier is None:
        return ""
    return "duplicate" if earlier == fold_spaces(expected) else "same input, another answer"


_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "input", "expected", "group_key", "split")])


def content_hash(examples: Iterable[Example]) -> str:
    """SHA-256 over every row in order: the identity of a version, whatever wrote its file."""
    digest = hashlib.sha256()
    for example in examples:
        row = text_hash(example.id, example.input, example.expected, example.group_key, example.split)
        digest.update(row.encode())
    return digest.hexdigest()


def to_parquet(examples: Sequence[Example]) -> bytes:
    columns = {name: [getattr(example, name) for example in examples] for name in _SCHEMA.names}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, schema=_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes) -> tuple[Example, ...]:
    table = pq.read_table(io.BytesIO(data), schema=_SCHEMA)
    return tuple(Example(**row) for row in table.to_pylist())
