"""Readiness: one look for the whole process, remembered for a moment, whoever asks."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from django.test import Client

from apps.core import health, readiness
from apps.core.health import Check
from llmopt.edge.health import Readiness
from llmopt.tests.asgi_client import call


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    readiness.forget()
    yield
    readiness.forget()


class Looks:
    """Counts how often the checks are run; each run takes a moment."""

    def __init__(self, ok: bool = True) -> None:
        self.count = 0
        self.ok = ok

    def __call__(self) -> list[Check]:
        self.count += 1
        time.sleep(0.05)
        return [Check("database", self.ok)]


def test_many_who_ask_at_once_cost_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Looks()
    monkeypatch.setattr(health, "readiness", look)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(Client().get("/api/v1/health/ready").status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert statuses == [200] * 8
    assert look.count == 1


def test_both_addresses_share_what_is_remembered_until_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Looks(ok=False)
    monkeypatch.setattr(health, "readiness", look)
    monkeypatch.setattr(readiness, "REMEMBER_SECONDS", 0.3)

    async def ask() -> list[int]:
        return [(await call(Readiness(), "/readyz")).status for _ in range(2)]

    assert asyncio.run(ask()) == [503, 503]
    assert Client().get("/api/v1/health/ready").status_code == 503
    assert look.count == 1
    time.sleep(0.3)
    assert Client().get("/api/v1/health/ready").status_code == 503
    assert look.count == 2


def test_checks_that_hang_are_answered_and_take_no_thread_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    until = threading.Event()
    monkeypatch.setattr(health, "readiness_in_thread", lambda: [] if until.wait(20) else [])
    monkeypatch.setattr(readiness, "LIMIT_SECONDS", 0.2)

    async def ask() -> tuple[list[int], set[str]]:
        ready = Readiness()
        answers = await asyncio.gather(*(call(ready, "/readyz") for _ in range(40)))
        names = {thread.name for thread in threading.enumerate()}
        return [answer.status for answer in answers], {name for name in names if name.startswith("asyncio")}

    statuses, shared = asyncio.run(ask())
    busy = Client().get("/api/v1/health/ready")
    until.set()

    assert statuses == [503] * 40
    assert shared == set()
    assert busy.status_code == 503
    assert "no answer" in busy.content.decode()
