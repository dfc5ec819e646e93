"""When a sequence gives way to a shorter one that waits, by a clock that only the backend moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from apps.providers.engine.inference import running
from apps.providers.engine.inference.backends.base import Batch, OnToken
from apps.providers.engine.inference.picking import Group
from apps.providers.engine.inference.running import RunningBatch
from apps.providers.tests.inference_support import sequence

TOKEN_SECONDS = 1.0


class Steady:
    """Reads for some seconds, then writes a token each second until it is told to end."""

    def __init__(self, reading_seconds: float) -> None:
        self.now = 0.0
        self._reading_seconds = reading_seconds

    def has_prefix(self, prefix: tuple[int, ...]) -> bool:
        return False

    def generate(self, batch: Batch, on_token: OnToken) -> None:
        self.now += self._reading_seconds
        while not on_token(0, 7):
            self.now += TOKEN_SECONDS

    def close(self) -> None:
        raise AssertionError("a batch does not close its backend")


def _tokens_before_giving_way(monkeypatch: pytest.MonkeyPatch, *, shortest: int | None, reading_seconds: float) -> int:
    backend: Any = Steady(reading_seconds)
    monkeypatch.setattr(running, "time", SimpleNamespace(perf_counter=lambda: backend.now))
    answer = sequence(max_tokens=512)
    batch = RunningBatch(Group((answer,), ()), shortest_waiting=lambda: shortest, aborted=lambda: False)
    batch.run(backend)
    return len(answer.output_ids)


@pytest.mark.parametrize(
    ("shortest", "reading_seconds", "written"),
    [
        (16, 1, 8),  # half of what the short one may need
        (4, 1, 8),  # but not after next to nothing
        (100, 1, 50),
        (16, 30, 31),  # and not before it has written for as long as it had read
        (None, 1, 512),
        (512, 1, 512),  # nobody who waits is shorter
    ],
)
def test_a_long_answer_gives_way(
    monkeypatch: pytest.MonkeyPatch, shortest: int | None, reading_seconds: float, written: int
) -> None:
    found = _tokens_before_giving_way(monkeypatch, shortest=shortest, reading_seconds=reading_seconds)
    assert found == written
