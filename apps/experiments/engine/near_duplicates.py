"""Rows that are almost the same text belong to one group, so that a split never separates them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from apps.experiments.engine.text import normalise_input, text_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD = 0.8
PERMUTATIONS = 128
SEED = 1
# 32 bands of 4 propose a pair of similarity s with probability 1 − (1 − s⁴)³²: of the pairs at the threshold, all but
# five in a hundred million. (A library's own choice for "0.7" missed one in eight.) The exact similarity decides.
BANDS, ROWS_PER_BAND = 32, 4
# Two texts whose sets of shingles, hashed to so many bits, differ in too many of them cannot be alike.
BITS = 512
# Two texts with so many shingles together are compared at the price of one comparison.
_SHINGLES_PER_COMPARISON = 1000
# Looking at two masks takes about this part of comparing two texts.
_LOOKS_PER_COMPARISON = 64
# Shingles that are sketched at a time: what fits a core's cache.
_SHINGLES_AT_ONCE = 1 << 15
_SETS_KEPT = 1000


class Texts(Protocol):
    """Normalised texts by position; a list, or a file that is too large to be one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...


class Union:
    """Disjoint sets of positions."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self.joined = 0

    def root(self, index: int) -> int:
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(self, one: int, two: int) -> None:
        one, two = self.root(one), self.root(two)
        if one != two:
            # The smaller position stays the root: the shape of the sets does not depend on the order of joins.
            self._parent[max(one, two)] = min(one, two)
            self.joined += 1

    def sets(self) -> Iterator[list[int]]:
        """Every set of more than one position, positions ascending."""
        members: dict[int, list[int]] = {}
        for index, parent in enumerate(self._parent):
            if parent != index:
                root = self.root(index)
                members.setdefault(root, [root]).append(index)
        return iter(members.values())


def shingles(text: str) -> frozenset[str]:
    """Character trigrams of the normalised text; a text of under three characters is its own shingle."""
    return _shingles(normalise_input(text))


def _shingles(folded: str) -> frozenset[str]:
    return frozenset([folded[i : i + 3] for i in range(len(folded) - 2)]) or frozenset({folded})


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def group_keys(inputs: Sequence[str]) -> list[str]:
    """A key per input: the hash of its normalised text, or, in a cluster, the smallest hash of the cluster.

    Clusters are the connected components of "trigram Jaccard similarity of at least 0.8" among the pairs that
    MinHash with locality-sensitive hashing proposes (Broder 1997). Order of the inputs does not matter.
    """
    folded = [normalise_input(text) for text in inputs]
    keys = [text_hash(text) for text in folded]
    union = Union(len(folded))
    join_similar(folded, union)
    for members in union.sets():
        smallest = min(keys[index] for index in members)
        for index in members:
            keys[index] = smallest
    return keys


def join_similar(
    texts: Texts, union: Union, *, most_pairs: int | None = None, on_progress: Callable[[int], None] | None = None
) -> int:
    """Join the positions of texts that are near-duplicates. Returns how many proposed pairs were not compared.

    Pairs that are joined already, or whose masks rule it out, need no comparison. With more than `most_pairs`
    comparisons of short texts (ten per text and a million by default: minutes), the rest of a large bucket is compared
    along its order only, and what was skipped is counted.
    """
    if len(texts) < 2:
        return 0
    bands, masks = _sketched(texts, on_progress)
    budget = 1_000_000 + 10 * len(texts) if most_pairs is None else most_pairs
    sets = _Sets(texts)
    skipped = 0
    for band in range(BANDS):
        for bucket in _buckets(bands[band], masks):
            if len(bucket) > 2:
                bucket = _without_equal_roots(bucket, union)
            budget, missed = _join_bucket(bucket, union, sets, masks, budget)
            skipped += missed
    return skipped


def _without_equal_roots(bucket: list[int], union: Union) -> list[int]:
    """The bucket itself unless all of it is one set already."""
    first = union.root(bucket[0])
    return bucket if any(union.root(index) != first for index in bucket) else []


def _join_bucket(bucket: list[int], union: Union, sets: _Sets, masks: _Masks, budget: int) -> tuple[int, int]:
    """Compare every two members that are not in one set yet. Returns what is left of the budget, and pairs skipped."""
    skipped, joined = 0, union.joined
    for place, one in enumerate(bucket):
        rest = bucket[place + 1 :]
        if len(bucket) > 2:
            if joined != union.joined and not _without_equal_roots(bucket[place:], union):
                break
            joined = union.joined
            budget -= len(rest) // _LOOKS_PER_COMPARISON
            rest = masks.perhaps_alike(one, rest) if budget > 0 else rest
        if budget < len(rest):
            skipped += max(0, len(rest) - 1)
            rest = rest[:1]
        for two in rest:
            if union.root(one) != union.root(two):
                budget -= masks.price(one, two)
                if sets.alike(one, two):
                    union.join(one, two)
    return budget, skipped


class _Masks:
    """The set of a text's shingles as BITS bits, one for each hash of a shingle, and how many shingles it has at most.

    A bit that differs needs a shingle that only one of the two has, and sets with a Jaccard similarity of at least 0.8
    differ in at most a ninth of both their sizes: so no pair that is alike is ruled out.
    """

    def __init__(self, count: int) -> None:
        import numpy as np

        self._bits = np.zeros((count, BITS // 64), dtype=np.uint64)
        self._sizes = np.zeros(count, dtype=np.uint32)
        self._filled = 0

    def add(self, values: NDArray[Any], starts: NDArray[Any]) -> None:
        """The next texts: the hashes of their shingles, and where those of each begin."""
        import numpy as np

        rows = slice(self._filled, self._filled + len(starts))
        self._sizes[rows] = np.diff(np.append(starts, len(values)))
        bit = np.uint64(1) << (values & np.uint32(63)).astype(np.uint64)
        word = (values >> np.uint32(6)) % np.uint32(BITS // 64)
        for number in range(BITS // 64):
            self._bits[rows, number] = np.bitwise_or.reduceat(np.where(word == number, bit, np.uint64(0)), starts)
        self._filled = rows.stop

    def rule_out(self, ones: NDArray[Any], twos: NDArray[Any]) -> NDArray[Any]:
        """Whether each pair cannot be alike."""
        import numpy as np

        different = np.bitwise_count(self._bits[ones] ^ self._bits[twos]).sum(axis=1, dtype=np.uint32)
        return different * np.uint32(9) > self._sizes[ones] + self._sizes[twos]

    def price(self, one: int, two: int) -> int:
        """What a comparison of these texts takes, counted in comparisons of short ones."""
        return 1 + (int(self._sizes[one]) + int(self._sizes[two])) // _SHINGLES_PER_COMPARISON

    def perhaps_alike(self, one: int, others: list[int]) -> list[int]:
        """The others that may be alike to one."""
        import numpy as np

        if not others:
            return others
        twos = np.asarray(others)
        found: list[int] = twos[~self.rule_out(np.full(1, one), twos)].tolist()
        return found


class _Sets:
    """The shingles of texts, the last few thousand kept."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._kept: dict[int, frozenset[str]] = {}

    def _of(self, index: int) -> frozenset[str]:
        found = self._kept.get(index)
        if found is None:
            if len(self._kept) >= _SETS_KEPT:
                self._kept.clear()
            found = self._kept[index] = _shingles(self._texts[index])
        return found

    def alike(self, one: int, two: int) -> bool:
        left, right = self._of(one), self._of(two)
        shorter, longer = sorted((len(left), len(right)))
        if shorter < THRESHOLD * longer:
            return False
        shared = len(left & right)
        return shared / (shorter + longer - shared) >= THRESHOLD


def _buckets(band: NDArray[Any], masks: _Masks) -> Iterator[list[int]]:
    """Positions with the same value in a band, ascending, for each value that occurs more than once.

    Pairs that cannot be alike, nearly all of those that meet by chance, are left out.
    """
    import numpy as np

    order = np.argsort(band, kind="stable")
    ordered = band[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True])))
    sizes = np.diff(starts)
    pairs = starts[:-1][sizes == 2]
    wanted = sizes > 2
    wanted[sizes == 2] = ~masks.rule_out(order[pairs], order[pairs + 1])
    for place in np.flatnonzero(wanted):
        yield order[starts[place] : starts[place + 1]].tolist()


def _sketched(texts: Texts, on_progress: Callable[[int], None] | None) -> tuple[NDArray[Any], _Masks]:
    """One 32-bit value for each band and text (the four minima of the band, mixed), and the masks of the texts."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    factors = generator.integers(1, 1 << 32, PERMUTATIONS, dtype=np.uint32) | np.uint32(1)
    offsets = generator.integers(0, 1 << 32, PERMUTATIONS, dtype=np.uint32)
    bands = np.empty((BANDS, len(texts)), dtype=np.uint32)
    masks = _Masks(len(texts))
    done = 0
    for batch in batches(texts):
        values, starts = hashed_shingles(batch)
        masks.add(values, starts)
        minima = np.empty((PERMUTATIONS, len(batch)), dtype=np.uint64)
        work = np.empty_like(values)
        for number in range(PERMUTATIONS):
            np.multiply(values, factors[number], out=work)
            np.add(work, offsets[number], out=work)
            minima[number] = np.minimum.reduceat(work, starts)
        mixed = np.zeros((BANDS, len(batch)), dtype=np.uint64)
        for row in range(ROWS_PER_BAND):
            mixed = _mix64(mixed ^ minima[row::ROWS_PER_BAND])
        # Half of the mixed bits: what collides by chance is told apart by the exact similarity.
        bands[:, done : done + len(batch)] = mixed >> np.uint64(32)
        done += len(batch)
        if on_progress:
            on_progress(done)
    return bands, masks


def batches(texts: Texts | Sequence[str]) -> Iterator[list[str]]:
    """The texts one after the other, as many at a time as fit a core's cache."""
    batch: list[str] = []
    size = 0
    for index in range(len(texts)):
        text = texts[index]
        batch.append(text)
        size += len(text) + 1
        if size >= _SHINGLES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def hashed_shingles(batch: list[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """32-bit hashes of all trigrams of the texts one after the other, and where those of each text begin.

    A trigram's three code points of 21 bits fill 63 bits, so no two are confused before they are mixed.
    """
    import numpy as np

    # A text of one or two characters is filled up to three with a code point that is none.
    padded = [text if len(text) >= 3 else text + "\U0010ffff" * (3 - len(text)) for text in batch]
    points = np.frombuffer("".join(padded).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in padded])
    ends = np.cumsum(lengths)
    grams = points[:-2] | (points[1:-1] << np.uint64(21)) | (points[2:] << np.uint64(42))
    inside = np.ones(len(points), dtype=bool)
    inside[ends - 1] = False
    inside[ends - 2] = False
    starts = np.concatenate(([0], np.cumsum(lengths - 2)[:-1]))
    return (_mix64(grams[inside[:-2]]) >> np.uint64(32)).astype(np.uint32), starts


def _mix64(values: NDArray[Any]) -> NDArray[Any]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    import numpy as np

    values = (values + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
