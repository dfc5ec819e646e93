"""One batch in the model's thread: hands tokens to sequences, shares out the time, and stops early when asked."""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.providers.engine.inference.backends.base import Backend, Batch
from apps.providers.engine.inference.picking import Group

#: A sequence gives way to a shorter waiting one after half as many tokens as that one may need, so that a short
#: request behind a long one takes less than twice its own time, but after no fewer than this.
MIN_SLICE_TOKENS = 8


class RunningBatch:
    """Runs ``group`` once. Sequences that are not done afterwards gave way and want to run again.

    ``shortest_waiting`` returns the fewest new tokens that any waiting sequence may need, None when none waits;
    ``aborted`` returns True when the process must end now.
    """

    def __init__(
        self, group: Group, *, shortest_waiting: Callable[[], int | None], aborted: Callable[[], bool]
    ) -> None:
        self._group = group
        self._shortest_waiting = shortest_waiting
        self._aborted = aborted
        self._active = set(range(len(group.sequences)))
        self._slice_tokens = [0] * len(group.sequences)
        self._earlier_seconds = [sequence.timing.batch_seconds for sequence in group.sequences]
        self._started = self._last_share = 0.0
        self._first_token: float | None = None

    def run(self, backend: Backend) -> None:
        """Block until every sequence has ended or given way; raises what the backend raises."""
        sequences = self._group.sequences
        cached = len(self._group.prefix) if backend.has_prefix(self._group.prefix) else 0
        for sequence in sequences:
            sequence.timing.batch_size = len(sequences)
            sequence.timing.cached_prompt_tokens = cached
        batch = Batch(
            prefix=self._group.prefix,
            suffixes=tuple(self._group.suffix(sequence) for sequence in sequences),
            max_new_tokens=max(sequence.remaining for sequence in sequences),
            stop_ids=tuple(sequences[0].stop_ids),
            sampling=sequences[0].sampling,
        )
        self._started = self._last_share = time.perf_counter()
        backend.generate(batch, self._on_token)

    def _on_token(self, index: int, token_id: int) -> bool:
        if index not in self._active:
            return True
        now = self._share_time()
        if self._first_token is None:
            self._first_token = now
        sequence = self._group.sequences[index]
        sequence.timing.batch_seconds = self._earlier_seconds[index] + now - self._started
        self._slice_tokens[index] += 1
        if sequence.accept(token_id) or self._gives_way(index, now) or self._aborted():
            self._active.discard(index)
            return True
        return False

    def _gives_way(self, index: int, now: float) -> bool:
        shortest = self._shortest_waiting()
        if shortest is None or self._slice_tokens[index] < max(MIN_SLICE_TOKENS, shortest // 2):
            return False
        return self._group.sequences[index].remaining > shortest and self._was_worth_reading(now)

    def _was_worth_reading(self, now: float) -> bool:
        """Whether it has written for as long as it had read: who gives way reads all of it again."""
        return self._first_token is not None and now - self._first_token >= self._first_token - self._started

    def _share_time(self) -> float:
        """Divide the time since the last token among the sequences that ran in it; returns the time now."""
        now = time.perf_counter()
        share = (now - self._last_share) / len(self._active)
        for index in self._active:
            self._group.sequences[index].timing.compute_seconds += share
        self._last_share = now
        return now
