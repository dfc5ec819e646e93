"""One who asks for one candidate of a run: of several at once the others wait, and the dead hold up nobody."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import holders
from apps.billing.generating import forget_models
from apps.billing.metering import MeteredResult
from apps.billing.models import LedgerEntry
from apps.billing.tests.provider_world import commercial_model, provider_key
from apps.core.models.base import new_uid
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun, PlaygroundTurn
from apps.workspace.playground import asking
from apps.workspace.services.playground import playground_answer_keep, playground_run_create, playground_turn_take

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("empty_cache_memory"),
]
AT_ONCE = 6


@pytest.fixture
def upstream() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def model(team: Team, upstream: FakeProvider, settings: Any) -> LanguageModel:
    forget_models()
    return commercial_model(provider_key(team, upstream, settings))


@pytest.fixture
def run(team: Team, bob: User, model: LanguageModel) -> PlaygroundRun:
    # At temperature 1 no stored answer will do: whoever asks, pays.
    message = {"role": "user", "content": "{{ input }}"}
    candidate = {"model": "", "prompt": "", "messages": [message], "max_tokens": 16, "temperature": 1.0}
    setup = {"input": "Say hello to me", "columns": {}, "candidates": [candidate]}
    return playground_run_create(actor=bob, team=team, models=[str(model.uid)], setup=setup)


def take(run: PlaygroundRun, person: User, seconds: float = 60.0) -> bool:
    return playground_turn_take(actor=person, run=run, number=1, token=new_uid(), seconds=seconds)


def takers(run: PlaygroundRun, person: User) -> list[bool]:
    """What several threads get that ask at the same moment."""
    begin = Barrier(AT_ONCE)

    def one(_number: int) -> bool:
        try:
            begin.wait(10)
            return take(run, person)
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sorted(threads.map(one, range(AT_ONCE)), reverse=True)


async def window(run: PlaygroundRun, person: User) -> str:
    """All that a page is sent that shows the candidate."""
    events = asking.answer_events(actor=person, run=run, number=1, language="en", render=lambda answer: answer.text)
    return b"".join([event async for event in events]).decode()


ONE_OF_THEM = [True, *[False] * (AT_ONCE - 1)]


def test_of_several_threads_at_once_one_may_ask_and_of_a_turn_whose_time_is_over_too(
    run: PlaygroundRun, bob: User
) -> None:
    assert takers(run, bob) == ONE_OF_THEM
    assert takers(run, bob) == [False] * AT_ONCE
    PlaygroundTurn.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert takers(run, bob) == ONE_OF_THEM
    assert PlaygroundTurn.objects.count() == 1


@pytest.fixture
def other(run: PlaygroundRun, bob: User) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the turn, and can be killed."""
    assert take(run, bob)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    PlaygroundTurn.objects.update(holder=holders._name(process.pid))
    yield process
    process.kill()
    process.wait(10)


def test_a_killed_process_blocks_nobody(run: PlaygroundRun, bob: User, other: subprocess.Popen[bytes]) -> None:
    assert takers(run, bob) == [False] * AT_ONCE
    other.kill()
    other.wait(10)
    assert takers(run, bob) == ONE_OF_THEM


def test_what_is_answered_is_not_asked_again_though_the_turn_is_free(run: PlaygroundRun, bob: User) -> None:
    playground_answer_keep(actor=bob, run=run, number=1, result=MeteredResult(text="Hello"), model=None)
    assert takers(run, bob) == [False] * AT_ONCE
    assert not PlaygroundTurn.objects.exists()


def test_two_windows_that_ask_at_once_show_one_answer_that_is_paid_once(
    run: PlaygroundRun, bob: User, upstream: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LOOK_SECONDS", 0.02)
    upstream.script(Reply("The one answer", between=0.02), Reply("Another answer"))

    async def both() -> list[str]:
        return await asyncio.gather(window(run, bob), window(run, bob))

    shown = asyncio.run(both())

    assert all('event: answer\ndata: {"html": "The one answer"}' in each for each in shown)
    # One of them has seen it grow.
    assert sorted('{"text"' in each for each in shown) == [False, True]
    assert len(upstream.requests) == 1
    assert (LedgerEntry.objects.count(), PlaygroundAnswer.objects.count(), PlaygroundTurn.objects.count()) == (1, 1, 0)


def test_who_waits_asks_once_the_process_before_is_killed(
    run: PlaygroundRun,
    bob: User,
    other: subprocess.Popen[bytes],
    upstream: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "LOOK_SECONDS", 0.02)

    async def waits() -> None:
        waiting = asyncio.create_task(window(run, bob))
        await asyncio.sleep(0.1)
        assert (waiting.done(), upstream.requests) == (False, [])
        other.kill()
        other.wait(10)
        assert "Hello there" in await asyncio.wait_for(waiting, 10)

    asyncio.run(waits())
    assert (len(upstream.requests), PlaygroundTurn.objects.count()) == (1, 0)


def test_a_browser_without_a_script_waits_for_the_same_answer(
    run: PlaygroundRun, bob: User, upstream: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LOOK_SECONDS", 0.02)
    upstream.script(Reply("The one answer", delay=0.1), Reply("Another answer"))

    def one(ask: Any) -> None:
        try:
            ask()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(one, [partial(asking.answer_all, actor=bob, run=run)] * 2))

    assert (PlaygroundAnswer.objects.get().text, len(upstream.requests)) == ("The one answer", 1)
