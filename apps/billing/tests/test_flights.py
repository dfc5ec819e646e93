"""Equal calls at once: one is made, in a process and with Redis in all.

Each `Metering` stands for a process of its own: what it knows of calls under way is its own.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Team
from apps.billing import cache, flights, services
from apps.billing.metering import MeteredCall, MeteredResult, Metering, TextDelta
from apps.billing.models import CachedResponse, Reservation
from apps.billing.tests.provider_world import call_of, commercial_model, provider_key
from apps.core.errors import ApplicationError
from apps.core.tests.redis_server import RedisServer, redis_server
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_cache_memory")]

SLOW = Reply("Fine.", delay=0.3)


@pytest.fixture
def redis(settings: Any) -> Iterator[RedisServer]:
    with redis_server(settings) as running:
        yield running


@pytest.fixture
def upstream() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        running.reply = SLOW
        yield running


@pytest.fixture
def model(team: Team, upstream: FakeProvider, settings: Any) -> LanguageModel:
    return commercial_model(provider_key(team, upstream, settings))


async def streamed(metering: Metering, call: MeteredCall) -> tuple[str, MeteredResult]:
    text = ""
    async with aclosing(metering.stream(call)) as pieces:
        async for piece in pieces:
            if isinstance(piece, MeteredResult):
                return text, piece
            text += piece.text if isinstance(piece, TextDelta) else ""
    raise AssertionError("the stream had no end")


async def in_processes(call: MeteredCall, count: int, *, each: int = 1, stream: bool = False) -> list[MeteredResult]:
    """`each` equal calls at once in each of `count` processes."""
    async with AsyncExitStack() as stack:
        asked = []
        for _n in range(count):
            metering = await stack.enter_async_context(Metering(deadline_seconds=20.0))
            asked += [streamed(metering, call) if stream else metering.generate(call) for _n in range(each)]
        found = await asyncio.gather(*asked)
    return [each[1] if isinstance(each, tuple) else each for each in found]


@pytest.mark.parametrize("stream", [False, True])
def test_without_redis_a_process_makes_one_of_its_equal_calls(
    model: LanguageModel, upstream: FakeProvider, stream: bool
) -> None:
    found = asyncio.run(in_processes(call_of(model), 1, each=5, stream=stream))
    assert len(upstream.requests) == 1
    assert [result.text for result in found] == ["Fine."] * 5
    assert sorted(result.cached for result in found) == [False, True, True, True, True]
    assert sum(result.cost_nanousd > 0 for result in found) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_with_redis_one_of_the_equal_calls_of_all_processes_is_made(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider, stream: bool
) -> None:
    found = asyncio.run(in_processes(call_of(model), 4, each=3, stream=stream))
    assert len(upstream.requests) == 1
    assert [result.text for result in found] == ["Fine."] * 12
    assert sum(result.cost_nanousd > 0 for result in found) == 1


def test_calls_that_are_drawn_anew_are_each_made(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider
) -> None:
    asyncio.run(in_processes(call_of(model, use_cache=False), 2, each=2))
    assert len(upstream.requests) == 4


def test_when_the_first_one_fails_the_others_make_their_own(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider
) -> None:
    upstream.script(Reply(status=400, delay=0.3, error=("invalid_request_error", "no")))
    found = asyncio.run(in_processes(call_of(model), 3))
    assert sorted(bool(result.error) for result in found) == [False, False, True]


def test_a_process_that_was_killed_holds_the_others_up_no_longer_than_its_lease(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "LEASE_SECONDS", 1)
    call = call_of(model)

    async def left_behind() -> None:
        # As a killed process leaves it: taken, renewed no more.
        killed = flights.Flights(asyncio.sleep)
        taken, _waited = await killed._take(
            flights.name_of(f"flight:{model.team_id}:{cache.cache_key(call)}"), b"killed", 1.0
        )
        assert taken
        await killed.aclose()

    async def both() -> float:
        await left_behind()
        started = time.monotonic()
        await in_processes(call, 1)
        return time.monotonic() - started

    assert 0.5 < asyncio.run(both()) < 5
    assert len(upstream.requests) == 1


def test_a_long_call_keeps_its_turn(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "LEASE_SECONDS", 1)
    monkeypatch.setattr(flights, "RENEWED_SECONDS", 0.2)
    upstream.reply = Reply("Fine.", delay=2.0)
    asyncio.run(in_processes(call_of(model), 2))
    assert len(upstream.requests) == 1


def test_work_that_has_to_end_does_not_wait_for_another_process(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider
) -> None:
    upstream.reply = Reply("Fine.", delay=1.8)
    call = call_of(model)

    async def stopped() -> float:
        stop = False
        async with Metering() as first, Metering(should_stop=lambda: stop) as second:
            one = asyncio.create_task(first.generate(call))
            await asyncio.sleep(0.2)
            other = asyncio.create_task(second.generate(call))
            await asyncio.sleep(0.2)
            started, stop = time.monotonic(), True
            with pytest.raises(ApplicationError, match="can be made again"):
                await other
            took = time.monotonic() - started
            await one
            return took

    assert asyncio.run(stopped()) < 1.2


@pytest.mark.parametrize("moment", ["before", "while the first is under way"])
def test_without_an_answer_from_redis_every_process_makes_its_own_call(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider, moment: str
) -> None:
    async def asked() -> list[MeteredResult]:
        if moment == "before":
            redis.kill()
            return await in_processes(call_of(model), 2)
        asked = asyncio.create_task(in_processes(call_of(model), 2))
        await asyncio.sleep(0.15)
        redis.kill()
        return await asked

    found = asyncio.run(asked())
    assert [result.text for result in found] == ["Fine."] * 2
    assert 1 <= len(upstream.requests) <= 2
    assert list(Reservation.objects.values_list("state", flat=True)) == ["settled"] * len(upstream.requests)


# --- the middle tier of the response cache


def test_an_answer_that_one_process_read_is_given_from_redis_to_the_others(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider
) -> None:
    call = call_of(model)
    asyncio.run(in_processes(call, 1))
    cache.forget_memory()
    asyncio.run(in_processes(call, 1))
    cache.forget_memory()
    # Only to show where it comes from: nothing else changes an answer in the table.
    CachedResponse.objects.update(result={**CachedResponse.objects.get().result, "text": "from the table"})
    [third] = asyncio.run(in_processes(call, 1))
    assert (third.text, third.cached, third.cost_nanousd) == ("Fine.", True, 0)
    assert third.original_cost_nanousd > 0
    assert len(upstream.requests) == 1


def test_a_purge_empties_redis_too_also_of_what_was_being_read(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = call_of(model)
    key = cache.cache_key(call)
    asyncio.run(in_processes(call, 1))
    cache.forget_memory()
    before = cache._stored

    def purged_while_read(team_id: int, key: str) -> Any:
        found = before(team_id, key)
        services.cache_purge(actor=alice, team=model.team)
        return found

    monkeypatch.setattr(cache, "_stored", purged_while_read)
    assert cache.find(model.team_id, key) is not None
    monkeypatch.setattr(cache, "_stored", before)
    cache.forget_memory()
    assert cache.find(model.team_id, key) is None


def test_an_answer_whose_time_is_over_is_not_given_by_redis(
    redis: RedisServer, model: LanguageModel, upstream: FakeProvider
) -> None:
    call = call_of(model)
    key = cache.cache_key(call)
    asyncio.run(in_processes(call, 1))
    CachedResponse.objects.update(expires_at=timezone.now() + timedelta(seconds=1.5))
    cache.forget_memory()
    assert cache.find(model.team_id, key) is not None
    time.sleep(1.6)
    cache.forget_memory()
    assert cache.find(model.team_id, key) is None


def test_another_team_finds_nothing_of_it(redis: RedisServer, model: LanguageModel, other_team: Team) -> None:
    call = call_of(model)
    asyncio.run(in_processes(call, 1))
    cache.forget_memory()
    assert cache.find(model.team_id, cache.cache_key(call)) is not None
    assert cache.find(other_team.pk, cache.cache_key(call)) is None
