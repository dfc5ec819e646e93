"""Rows that are almost the same text belong to one group, so that a split never separates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.experiments.engine.text import normalise_input, text_hash

if TYPE_CHECKING:
    from datasketch import MinHash

THRESHOLD = 0.8
PERMUTATIONS = 128
SEED = 1
# 32 bands of 4 propose a pair of similarity s with probability 1 − (1 − s⁴)³²: of the pairs at the threshold, all but
# five in a hundred million. (The library's own choice for "0.7" misses one in eight.) The exact similarity decides.
BANDS, ROWS_PER_BAND = 32, 4


def shingles(text: str) -> frozenset[str]:
    """Character trigrams of the normalised text; a text of under three characters is its own shingle."""
    folded = normalise_input(text)
    return frozenset(folded[i : i + 3] for i in range(len(folded) - 2)) or frozenset({folded})


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def group_keys(inputs: Sequence[str]) -> list[str]:
    """A key per input: the hash of its normalised text, or, in a cluster, the smallest hash of the cluster.

    Clusters are the connected components of "trigram Jaccard similarity of at least 0.8" among the pairs that
    MinHash with locality-sensitive hashing proposes (Broder 1997). Order of the inputs does not matter.
    """
    from datasketch import MinHashLSH

    hashes = [text_hash(normalise_input(text)) for text in inputs]
    first_of: dict[str, int] = {}
    parent = list(range(len(inputs)))
    for index, digest in enumerate(hashes):
        parent[index] = first_of.setdefault(digest, index)
    unique = sorted(first_of.values())
    sets = {index: shingles(inputs[index]) for index in unique}
    sketches = {index: _sketch(sets[index]) for index in unique}
    lookup = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS_PER_BAND))
    for index in unique:
        for other in lookup.query(sketches[index]):
            if jaccard(sets[index], sets[other]) >= THRESHOLD:
                parent[_root(parent, index)] = _root(parent, other)
        lookup.insert(index, sketches[index])
    smallest: dict[int, str] = {}
    for index in range(len(inputs)):
        root = _root(parent, index)
        smallest[root] = min(smallest.get(root, hashes[index]), hashes[index])
    return [smallest[_root(parent, index)] for index in range(len(inputs))]


def _sketch(items: frozenset[str]) -> MinHash:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS, seed=SEED)
    sketch.update_batch([item.encode() for item in items])
    return sketch


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index
