"""Figures about the rows of a version: labels, lengths, tokens, and what looks like personal data."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.experiments.engine.arrow import numbers
from apps.experiments.engine.intake.spec import Room

NO_ROOM = Room()
MOST_LABELS = 200
BINS = 24
# RE2 patterns: a hint for a person, no proof. A phone number is written with its country, as three groups of which two
# have three digits or more, or as five pairs; a date is none of these.
PERSONAL = {
    "e_mail": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]*[A-Za-z]{2}",
    "phone": (
        r"\+[0-9][0-9 ()./-]{7,16}[0-9]"
        r"|\b[0-9]{2,4}\)?[ ./-][0-9]{3,4}[ ./-][0-9]{3,4}\b"
        r"|\b([0-9]{2}[ .-]){4}[0-9]{2}\b"
    ),
    "iban": r"\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b",
}


class Measures:
    """Fed with Arrow tables of rows. Lengths are in characters; tokens are counted when a tokenizer folder is given."""

    def __init__(self, *, answer: Mapping[str, Any] | None, room: Room = NO_ROOM, tokenizer: str = "") -> None:
        self._are_labels = (answer or {}).get("format") == "label"
        self._labels: Counter[str] = Counter()
        self._lengths: dict[str, list[Any]] = {"input": [], "expected": []}
        self._tokens = {"input": array("q"), "expected": array("q")}
        self._personal: Counter[str] = Counter()
        folder = tokenizer or room.tokenizer
        self._tokenizer = _tokenizer(folder) if folder else None
        self._room = room.tokens if self._tokenizer else 0

    @property
    def has_token_room(self) -> bool:
        return bool(self._room)

    def too_long(self, table: Any, gone: set[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Places of answers that a model has no room for."""
        if not self._room:
            return
        for index, length in enumerate(self._token_counts(table.column("expected").to_pylist())):
            if length > self._room and index not in gone:
                yield index, {"length": length, "unit": "tokens", "room": self._room}

    def take(self, table: Any) -> None:
        import pyarrow.compute as pc

        for name in ("input", "expected"):
            column = table.column(name)
            self._lengths[name].append(numbers(pc.utf8_length(column)))
            if self._tokenizer is not None:
                self._tokens[name].extend(self._token_counts(column.to_pylist()))
        for name, pattern in PERSONAL.items():
            found = pc.match_substring_regex(table.column("input"), pattern)
            self._personal[name] += pc.sum(found).as_py() or 0
        if self._are_labels:
            self._labels.update(table.column("expected").to_pylist())

    def _token_counts(self, texts: list[str]) -> list[int]:
        assert self._tokenizer is not None
        return [len(found) for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def as_json(self) -> dict[str, Any]:
        return {
            "labels": dict(self._labels.most_common(MOST_LABELS)),
            "lengths": {name: _histogram(parts) for name, parts in self._lengths.items()},
            "tokens": {name: _histogram([counts]) for name, counts in self._tokens.items() if counts},
            "personal": {name: count for name, count in self._personal.items() if count},
        }


def _tokenizer(folder: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def _histogram(parts: list[Any]) -> dict[str, Any]:
    """`counts[i]` rows have a length from `edges[i]` up to `edges[i + 1]`; the last bin holds everything longer too."""
    import numpy as np

    lengths = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts]) if parts else np.zeros(0, np.int64)
    if not len(lengths):
        return {"edges": [], "counts": [], "min": 0, "p50": 0, "p95": 0, "max": 0}
    top = max(int(np.percentile(lengths, 99)) + 1, int(lengths.min()) + 1)
    width = max(1, -(-(top - int(lengths.min())) // BINS))
    edges = np.arange(int(lengths.min()), top + width, width)
    counts, _edges = np.histogram(np.minimum(lengths, edges[-1]), bins=edges)
    middle, high = (int(np.percentile(lengths, q)) for q in (50, 95))
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "min": int(lengths.min()),
        "p50": middle,
        "p95": high,
        "max": int(lengths.max()),
    }
