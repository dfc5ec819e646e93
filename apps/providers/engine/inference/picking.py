"""Which of the waiting sequences run together next. Pure: a list in, a batch out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence as Many
from dataclasses import dataclass

from apps.providers.engine.inference.sequence import Sequence

#: A prefix shorter than this is not worth a cache entry.
MIN_PREFIX_TOKENS = 8
#: Prompts in one batch differ by at most this many tokens: CTranslate2 reads only the shortest length at once and
#: the rest of the longer prompts token by token.
MAX_LENGTH_SPREAD = 64
#: Bounds of one batch: tokens held in all, and prompt tokens read at once × tokens that they attend to. They keep
#: memory within some hundred MiB, and CTranslate2 copies all keys and values at each step, so that beyond this many
#: a larger batch gives no more tokens per second (SmolLM2-135M, 530 tokens a prompt: 26 with 8 rows, 24 with 16).
MAX_BATCH_TOKENS = 6144
MAX_BATCH_ATTENTION = 4096 * 4096
REMEMBERED_PREFIXES = 256


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences that run as one batch, all with the same model, sampling and cached ``prefix``."""

    sequences: tuple[Sequence, ...]
    prefix: tuple[int, ...]

    def suffix(self, sequence: Sequence) -> tuple[int, ...]:
        """What this sequence's model has to read after the prefix: the rest of its prompt, its answer so far."""
        return (*sequence.prompt_ids[len(self.prefix) :], *sequence.output_ids)


class PrefixMemory:
    """Counts how often each prompt prefix was asked for: one that comes once is not worth caching."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, tuple[int, ...]], int] = OrderedDict()

    def note(self, sequence: Sequence) -> None:
        """Count a request."""
        if sequence.prefix_length >= MIN_PREFIX_TOKENS:
            key = (sequence.model, sequence.prefix)
            self._counts[key] = self._counts.pop(key, 0) + 1
            if len(self._counts) > REMEMBERED_PREFIXES:
                self._counts.popitem(last=False)

    def shared_prefix(self, sequence: Sequence) -> tuple[int, ...]:
        """The prefix to cache for it; empty when nobody else asked for it."""
        return sequence.prefix if self._counts.get((sequence.model, sequence.prefix), 0) > 1 else ()


class Turns:
    """Which model runs next: that which has not run for longest, so that none waits for another one's whole queue."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def ordered(self, waiting: Many[Sequence]) -> list[Sequence]:
        """By the turn of their model; those of one model as they came."""
        return sorted(waiting, key=lambda sequence: self._last.get(sequence.model, 0))

    def took(self, model: str) -> None:
        """The model runs now."""
        self._last[model] = 1 + max(self._last.values(), default=0)


def pick(waiting: Many[Sequence], prefixes: PrefixMemory, *, max_batch: int) -> Group:
    """The batch around the first sequence: those of its model that fit with it, nearest in length first."""
    head = waiting[0]
    prefix = prefixes.shared_prefix(head)
    length = _length(head) - len(prefix)
    matching = [
        other
        for other in waiting[1:]
        if other.model == head.model
        and other.sampling == head.sampling
        and abs(_length(other) - len(prefix) - length) <= MAX_LENGTH_SPREAD
        and prefixes.shared_prefix(other) == prefix
    ]
    matching.sort(key=lambda other: abs(_length(other) - _length(head)))
    chosen = [head]
    for other in matching:
        if len(chosen) >= max_batch or not _fits([*chosen, other], len(prefix)):
            break
        chosen.append(other)
    return Group(sequences=tuple(chosen), prefix=prefix)


def _length(sequence: Sequence) -> int:
    return len(sequence.prompt_ids) + len(sequence.output_ids)


def _fits(sequences: list[Sequence], prefix_length: int) -> bool:
    held = sum(_length(sequence) + sequence.remaining for sequence in sequences)
    attention = sum((_length(sequence) - prefix_length) * _length(sequence) for sequence in sequences)
    return held <= MAX_BATCH_TOKENS and attention <= MAX_BATCH_ATTENTION
