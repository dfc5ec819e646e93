"""The queue in front of the models: gathers for a moment, runs one batch at a time, unloads when idle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from apps.providers.engine.inference import memory
from apps.providers.engine.inference.catalogue import Catalogue
from apps.providers.engine.inference.errors import ApiError
from apps.providers.engine.inference.picking import Group, PrefixMemory, Turns, pick
from apps.providers.engine.inference.residency import Residency
from apps.providers.engine.inference.running import RunningBatch
from apps.providers.engine.inference.sequence import Sequence

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """``max_waiting`` requests may wait; a batch gathers for ``window_seconds`` up to ``max_batch`` sequences.

    After ``rest_seconds`` without work the memory of past batches is given back, after ``idle_unload_seconds``
    the models.
    """

    max_waiting: int = 256
    max_batch: int = 16
    window_seconds: float = 0.010
    rest_seconds: float = 1.0
    idle_unload_seconds: float = 20.0


class Scheduler:
    """Feeds one thread with batches. Everything but ``RunningBatch`` runs on the event loop that calls ``run``."""

    def __init__(self, catalogue: Catalogue, residency: Residency, limits: QueueLimits) -> None:
        self.limits = limits
        self._catalogue = catalogue
        self._residency = residency
        self._prefixes = PrefixMemory()
        self._turns = Turns()
        self._waiting: list[Sequence] = []
        self._running: tuple[Sequence, ...] = ()
        self._shortest_waiting: int | None = None
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._last_seconds = 1.0
        self.draining = False
        self._aborted = False

    @property
    def waiting_count(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def running_count(self) -> int:
        """Sequences in the batch that is running."""
        return sum(not sequence.done for sequence in self._running)

    def loaded(self) -> list[str]:
        """Ids of the models in memory."""
        return self._residency.loaded()

    def refuse_if_full(self) -> None:
        """Raise a 429 when the queue is full, a 503 when the process is ending."""
        if self.draining:
            raise ApiError(503, "shutting_down", "The inference process is ending; try again shortly.", retry_after=5)
        if len(self._waiting) >= self.limits.max_waiting:
            batches_ahead = 1 + len(self._waiting) // self.limits.max_batch
            retry_after = min(60, max(1, round(batches_ahead * self._last_seconds)))
            message = f"{len(self._waiting)} requests are waiting, which is the limit. Try again in {retry_after} s."
            raise ApiError(429, "queue_full", message, retry_after=retry_after)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; raises as ``refuse_if_full`` does."""
        self.refuse_if_full()
        self._prefixes.note(sequence)
        self._enqueue([sequence])

    def cancel(self, sequence: Sequence) -> None:
        """Drop a sequence whose client has gone: out of the queue now, out of a running batch at its next token."""
        sequence.cancelled = True
        if sequence in self._waiting:
            self._waiting.remove(sequence)
            self._note_shortest()

    async def run(self) -> None:
        """Serve batches until cancelled."""
        while True:
            await self._wait_for_work()
            if len(self._waiting) < self.limits.max_batch:
                await asyncio.sleep(self.limits.window_seconds)
            if self._waiting:
                in_turn = self._turns.ordered(self._waiting)
                await self._run_batch(pick(in_turn, self._prefixes, max_batch=self.limits.max_batch))

    def drain(self) -> None:
        """Take no more requests and give up those that wait; what runs may end."""
        self.draining = True
        waiting, self._waiting = self._waiting, []
        self._note_shortest()
        for sequence in waiting:
            sequence.fail(ApiError(503, "shutting_down", "The inference process is ending; try again shortly."))

    def abort(self) -> None:
        """End the running batch at its next token."""
        self._aborted = True

    async def close(self) -> None:
        """End the running batch at its next token and free every model."""
        self.abort()
        await self._in_thread(self._residency.unload_all)
        self._thread.shutdown(wait=True)

    async def _wait_for_work(self) -> None:
        if self._waiting or not self._residency.loaded():
            await self._arrival(None)
            return
        rest = min(self.limits.rest_seconds, self.limits.idle_unload_seconds)
        if await self._arrival(rest):
            return
        # The C library keeps what batches used, twice the model's size: a trainer that starts now needs it.
        await self._in_thread(memory.release)
        if await self._arrival(self.limits.idle_unload_seconds - rest):
            return
        await self._in_thread(self._residency.unload_all)
        logger.info("idle for %g s: models unloaded", self.limits.idle_unload_seconds)
        await self._arrival(None)

    async def _arrival(self, seconds: float | None) -> bool:
        """Wait for a request; False when none has come within ``seconds``."""
        while not self._waiting:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), seconds)
            except TimeoutError:
                return False
        return True

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _run_batch(self, group: Group) -> None:
        now = time.monotonic()
        for sequence in group.sequences:
            self._waiting.remove(sequence)
            sequence.timing.queue_seconds += now - sequence.waiting_since
        self._note_shortest()
        self._turns.took(group.sequences[0].model)
        self._running = group.sequences
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._run_in_thread, group)
        except ApiError as error:
            self._fail(group, error)
        except Exception:
            logger.exception("a batch of %d sequences of %s failed", len(group.sequences), group.sequences[0].model)
            self._fail(
                group, ApiError(500, "model_failed", f"{group.sequences[0].model} could not be run; see the log.")
            )
        finally:
            self._running = ()
            self._last_seconds = time.monotonic() - now
        self._continue(group)

    def _run_in_thread(self, group: Group) -> None:
        started = time.monotonic()
        backend = self._residency.backend(self._catalogue.find(group.sequences[0].model))
        # Opening a model is waiting, not answering: it says nothing about how fast the model is.
        opening = time.monotonic() - started
        for sequence in group.sequences:
            sequence.timing.queue_seconds += opening
        running = RunningBatch(group, shortest_waiting=lambda: self._shortest_waiting, aborted=lambda: self._aborted)
        running.run(backend)

    def _continue(self, group: Group) -> None:
        """Sequences that gave way wait again, behind all others."""
        unfinished = [sequence for sequence in group.sequences if not sequence.done]
        if self.draining or self._aborted:
            self._fail(group, ApiError(503, "shutting_down", "The inference process is ending; try again shortly."))
        elif unfinished:
            self._enqueue(unfinished)

    def _enqueue(self, sequences: list[Sequence]) -> None:
        now = time.monotonic()
        for sequence in sequences:
            sequence.waiting_since = now
        self._waiting.extend(sequences)
        self._note_shortest()
        self._arrived.set()

    def _note_shortest(self) -> None:
        self._shortest_waiting = min((sequence.remaining for sequence in self._waiting), default=None)

    def _fail(self, group: Group, error: ApiError) -> None:
        for sequence in group.sequences:
            sequence.fail(error)
