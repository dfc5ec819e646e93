"""What the queue does with memory and with time, on a backend that answers at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from apps.providers.engine.inference import memory
from apps.providers.engine.inference.backends.base import Batch, OnToken
from apps.providers.engine.inference.catalogue import ModelFolder
from apps.providers.engine.inference.residency import Residency
from apps.providers.engine.inference.scheduler import QueueLimits, Scheduler
from apps.providers.engine.inference.sequence import Sequence
from apps.providers.tests.inference_support import sequence

OPENING_SECONDS = 0.05

Ask = Callable[..., Awaitable[Sequence]]


class Echo:
    """Answers every prompt with one token."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def has_prefix(self, prefix: tuple[int, ...]) -> bool:
        return False

    def generate(self, batch: Batch, on_token: OnToken) -> None:
        self._log.append("batch")
        for index in range(len(batch.suffixes)):
            on_token(index, 7)

    def close(self) -> None:
        self._log.append("closed")


class Catalogue:
    def find(self, model: str) -> Any:
        return ModelFolder(id=model, backend="ctranslate2", folder=Path(), context_length=64, version=(1,), created=0)


def test_memory_of_batches_is_given_back_before_the_models_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(memory, "release", lambda: log.append("released"))

    async def rest(ask: Ask) -> None:
        await ask()
        while "closed" not in log:
            await asyncio.sleep(0.005)

    _with_scheduler(log, QueueLimits(window_seconds=0, rest_seconds=0.02, idle_unload_seconds=0.06), rest)
    assert log[:3] == ["batch", "released", "closed"]


def test_opening_a_model_counts_as_waiting_and_not_as_answering() -> None:
    timings = []

    async def twice(ask: Ask) -> None:
        timings.extend([(await ask()).timing, (await ask()).timing])

    _with_scheduler([], QueueLimits(window_seconds=0, idle_unload_seconds=60), twice)
    assert timings[0].queue_seconds >= OPENING_SECONDS > timings[0].batch_seconds
    assert timings[1].queue_seconds < OPENING_SECONDS


def test_a_request_does_not_wait_for_the_queue_of_another_model() -> None:
    answered: list[str] = []

    async def busy(ask: Ask) -> None:
        async def answer(model: str) -> None:
            await ask(model)
            answered.append(model)

        await asyncio.gather(*(answer("busy") for _n in range(6)), answer("other"))

    _with_scheduler([], QueueLimits(window_seconds=0, max_batch=1, idle_unload_seconds=60), busy)
    assert answered.index("other") <= 1


def _with_scheduler(log: list[str], limits: QueueLimits, work: Callable[[Ask], Awaitable[None]]) -> None:
    def opened(_model: Any) -> Echo:
        time.sleep(OPENING_SECONDS)
        return Echo(log)

    async def run() -> None:
        catalogue: Any = Catalogue()
        scheduler = Scheduler(catalogue, Residency(opened, limit=1), limits)
        serving = asyncio.create_task(scheduler.run())

        async def ask(model: str = "m") -> Sequence:
            loop, answered = asyncio.get_running_loop(), asyncio.Event()
            answer = sequence(model=model, max_tokens=1, wake=lambda: loop.call_soon_threadsafe(answered.set))
            scheduler.submit(answer)
            await asyncio.wait_for(answered.wait(), 10)
            return answer

        await asyncio.wait_for(work(ask), 10)
        serving.cancel()
        await scheduler.close()

    asyncio.run(run())
