"""Which rows belong together: the group that a row names, its near-duplicates, and its place in earlier versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apps.experiments.engine.near_duplicates import Texts, Union, join_similar
from apps.experiments.engine.splits import Split


@dataclass(frozen=True, slots=True)
class Earlier:
    """A row of an earlier version: the hash of its normalised input, its group, and the group that its file named."""

    digest: str
    group_key: str
    named: str = ""


@dataclass
class Regrouped:
    """`keys` holds only rows whose key is another than their own; None is a bridge between splits.

    `clusters` counts the sets of near-duplicates, `largest` the rows of the largest one, `not_compared` the pairs that
    a very large set left uncompared.
    """

    keys: dict[int, str | None] = field(default_factory=dict)
    clusters: int = 0
    largest: int = 0
    not_compared: int = 0


def regroup(
    own: Sequence[str],
    texts: Texts,
    *,
    split: Callable[[str], Split],
    named: bool = False,
    earlier: Sequence[Earlier] = (),
    digests: Sequence[str] = (),
    on_progress: Callable[[int], None] | None = None,
) -> Regrouped:
    """Merge groups of near-duplicates, and follow earlier versions.

    `own` are the rows' keys for themselves; `texts` their normalised inputs, then those of `earlier`. With `named`
    keys, rows of the same key belong together too. `digests` are the hashes of the rows' normalised inputs, needed
    only with `earlier`. A set of new rows gets its smallest key. With earlier rows in it, it gets theirs where they
    lie in one split; else only a row that has stood in an earlier version keeps its key.
    """
    count = len(own)
    union = Union(len(texts))
    found = Regrouped(not_compared=join_similar(texts, union, on_progress=on_progress))
    sizes = [len(members) for members in union.sets()]
    found.clusters, found.largest = len(sizes), max(sizes, default=0)
    if named:
        _join_named([*own, *(row.named for row in earlier)], union)
    known = {row.digest: row.group_key for row in earlier}
    if earlier:
        _join_known(digests, earlier, union)
    for members in union.sets():
        new = [index for index in members if index < count]
        settled = {earlier[index - count].group_key for index in members if index >= count}
        if not settled:
            smallest = min(own[index] for index in new)
            found.keys.update({index: smallest for index in new if own[index] != smallest})
            continue
        key = min(settled) if len({split(each) for each in settled}) == 1 else None
        found.keys.update({index: known.get(digests[index]) or key for index in new})
    return found


def _join_named(names: Sequence[str], union: Union) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name:
            union.join(first.setdefault(name, index), index)


def _join_known(digests: Sequence[str], earlier: Sequence[Earlier], union: Union) -> None:
    place = {row.digest: len(digests) + index for index, row in enumerate(earlier)}
    for index, digest in enumerate(digests):
        if digest in place:
            union.join(index, place[digest])
