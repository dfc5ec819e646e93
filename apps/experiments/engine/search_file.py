"""Searching the visible rows of a large version: their folded texts in a plain file for each split, a line for a row.

Reading half a gigabyte of it and looking for a few bytes takes a fraction of the time that decompressing the rows does.
Test rows are in no such file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from apps.experiments.engine.text import normalise_input

VISIBLE = ("train", "validation")
# With fewer rows than this a search looks at the rows themselves.
LARGE_ROWS = 50_000
# No more matching rows are counted: nobody pages through them.
MOST_FOUND = 1000
# What fits a core's cache together with what is made of it.
_CHUNK_BYTES = 2**18
# Between input and answer: no text holds it after spaces are folded, so no match crosses it.
_BETWEEN = "\x1f"


def search_path(rows: Path, split: str) -> Path:
    """Where the texts of a split lie, beside the rows file."""
    return rows.with_name(f"{rows.stem}.{split}.txt")


def needle_of(text: str) -> str:
    """What is looked for: spaces folded, case removed."""
    return normalise_input(text)


def line_of(text: str, expected: str) -> str:
    return f"{normalise_input(text)}{_BETWEEN}{normalise_input(expected)}\n"


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class SearchWriter:
    """Writes the lines of visible rows beside `rows`."""

    def __init__(self, rows: Path) -> None:
        self._files: dict[str, BinaryIO] = {split: search_path(rows, split).open("wb") for split in VISIBLE}

    def add(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Rows as (split, input, expected)."""
        for split, text, expected in rows:
            file = self._files.get(split)
            if file is not None:
                file.write(line_of(text, expected).encode())

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def search_lines(file: Readable, needle: str, most: int = MOST_FOUND) -> list[int]:
    """Numbers (from 0) of the first `most` lines that contain the needle."""
    wanted = needle.encode()
    found: list[int] = []
    before = held = 0
    block = bytearray(_CHUNK_BYTES)
    while read := file.readinto(memoryview(block)[held:]):
        filled = held + read
        end = block.rfind(b"\n", 0, filled) + 1
        before = _search_block(block, end, wanted, before, found, most)
        if len(found) >= most:
            break
        held = filled - end
        block[:held] = block[end:filled]
        if held == len(block):
            # A line that is longer than the block.
            block += bytes(len(block))
    return found


def _search_block(block: bytearray, end: int, wanted: bytes, before: int, found: list[int], most: int) -> int:
    """Add the numbers of matching lines of `block[:end]`. Returns how many lines there are up to there."""
    counted = 0
    hit = block.find(wanted, 0, end)
    while hit >= 0 and len(found) < most:
        before += _lines(block, counted, hit)
        found.append(before)
        # On with the next line: one line is one match, however often the text stands in it.
        counted = block.find(b"\n", hit) + 1
        before += 1
        hit = block.find(wanted, counted, end)
    return before + _lines(block, counted, end)


def _lines(block: bytearray, start: int, end: int) -> int:
    """How many lines end in `block[start:end]`, counted several bytes at a time."""
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(block, np.uint8, end - start, start) == 10)) if start < end else 0
