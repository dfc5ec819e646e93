"""Which of very many texts could be near-duplicates of a few new ones, without sketching all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from apps.experiments.engine.near_duplicates import THRESHOLD, batches, hashed_shingles

_TABLE_BITS = 22
_SHIFT = 32 - _TABLE_BITS


class NearFilter:
    """Lets through every text that is a near-duplicate of one of the given ones, and few others.

    With I shared trigrams, a similarity of at least t = 0.8 asks for I ≥ t · |new| and for at most (1/t − 1) · I of
    the text's own trigrams that no new text has. Trigrams are looked up by a part of their hash: what is mistaken for
    a shared one only lets a text through, and the exact similarity decides behind this.
    """

    def __init__(self, folded: Sequence[str]) -> None:
        """`folded`: the new texts, normalised."""
        import numpy as np

        self._shared = np.zeros(1 << _TABLE_BITS, dtype=bool)
        sizes = []
        for batch in batches(folded):
            values, starts = hashed_shingles(batch)
            self._shared[values >> np.uint32(_SHIFT)] = True
            sizes += [len(np.unique(each)) for each in np.split(values, starts[1:])]
        self._smallest, self._largest = min(sizes, default=0), max(sizes, default=0)

    def among(self, folded: Sequence[str]) -> Iterator[int]:
        """Places of the texts that are let through, ascending."""
        done = 0
        for batch in batches(folded) if self._largest else ():
            yield from (done + int(place) for place in self._within(batch))
            done += len(batch)

    def _within(self, batch: list[str]) -> Any:
        import numpy as np

        values, starts = hashed_shingles(batch)
        hits = self._shared[values >> np.uint32(_SHIFT)]
        shared = np.add.reduceat(hits, starts, dtype=np.int64)
        text = np.repeat(np.arange(len(batch), dtype=np.uint64), np.diff(np.append(starts, len(values))))
        own = (text[~hits] << np.uint64(32)) | values[~hits]
        own.sort()  # several times faster than np.unique
        first = np.append(True, own[1:] != own[:-1])[: len(own)]
        strange = np.bincount((own[first] >> np.uint64(32)).astype(np.int64), minlength=len(batch))
        # One more than the bound: two trigrams may have one hash.
        most = (1 / THRESHOLD - 1) * np.minimum(shared, self._largest) + 1
        return np.flatnonzero((shared >= THRESHOLD * self._smallest - 1) & (strange <= most))
