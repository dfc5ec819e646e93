"""What processes share through Redis, and what each does by itself while that does not answer."""

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured

from apps.core import health, rates, shared_store
from apps.core.shared_store import AsyncStore
from apps.core.tests.redis_server import RedisServer, redis_server
from llmopt.settings.addresses import redis_url


@pytest.fixture
def server(settings: Any) -> Iterator[RedisServer]:
    with redis_server(settings) as running:
        yield running


async def admit(name: str, *, limit: int) -> int:
    store = AsyncStore()
    try:
        return await rates.admit_async(store, name, limit=limit)
    finally:
        await store.aclose()


async def ping(store: AsyncStore) -> bool:
    return bool(await store.ask(lambda redis: redis.ping(), False))


def test_an_event_loop_and_a_thread_count_the_same_thing(server: RedisServer) -> None:
    assert [rates.admit("x", limit=5) for _n in range(3)] == [0, 0, 0]
    assert [asyncio.run(admit("x", limit=5)) for _n in range(2)] == [0, 0]
    assert rates.admit("x", limit=5) > 0
    assert asyncio.run(admit("x", limit=5)) > 0
    # What was refused was not counted.
    assert rates.admit("x", limit=6) == 0


def test_a_hundred_at_once_are_not_more_than_the_limit(server: RedisServer) -> None:
    async def all_at_once() -> list[int]:
        store = AsyncStore()
        found = await asyncio.gather(*(rates.admit_async(store, "x", limit=40) for _n in range(100)))
        await store.aclose()
        return list(found)

    assert asyncio.run(all_at_once()).count(0) == 40


@pytest.mark.parametrize("value", [0, -7, 2**40, True, None, 1.5, "", "5", "é", [1, "a", None], {"a": {"b": [1.25]}}])
def test_what_is_kept_comes_back_as_it_was(server: RedisServer, value: Any) -> None:
    cache.set("x", value)
    found = cache.get("x", "nothing")
    assert found == value
    assert type(found) is type(value)


def test_nothing_that_could_run_is_kept(server: RedisServer) -> None:
    with pytest.raises(TypeError):
        cache.set("x", shared_store)
    assert cache.get("x") is None


def test_a_process_goes_on_by_itself_while_redis_is_gone_and_shares_again_when_it_is_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_store, "LEFT_ALONE_SECONDS", 0.1)
    caplog.set_level(logging.INFO)
    assert rates.admit("x", limit=5) == 0
    server.kill()

    # It counts for itself, and from the beginning.
    assert [rates.admit("x", limit=2) > 0 for _n in range(3)] == [False, False, True]
    assert asyncio.run(admit("x", limit=2)) > 0
    cache.set("mine", 1)
    assert cache.get("mine") == 1
    checks = {check.name: check for check in (health._run("cache", health.check_cache),)}
    assert checks["cache"].ok
    assert "limits count per process" in checks["cache"].detail

    server.start_again()
    time.sleep(0.15)
    assert asyncio.run(admit("x", limit=2)) == 0
    assert cache.get("mine") is None
    assert health._run("cache", health.check_cache) == health.Check("cache", True)
    said = [record.message for record in caplog.records if record.name == "apps.core.shared_store"]
    assert said == ["redis does not answer; each process goes on by itself", "redis answers again"]
    assert server.url not in caplog.text


def test_a_redis_that_hangs_is_waited_for_once(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_store, "ANSWER_SECONDS", 0.2)
    server.hang()

    async def asked() -> tuple[float, float]:
        store = AsyncStore()
        started = time.monotonic()
        assert await ping(store) is False
        first = time.monotonic()
        assert not any([await ping(store) for _n in range(100)])
        await store.aclose()
        return first - started, time.monotonic() - first

    once, then = asyncio.run(asked())
    assert then < once
    assert shared_store.is_left_alone()
    assert rates.admit("x", limit=1) == 0
    server.go_on()


@pytest.mark.parametrize("ends", ["cancelled", "too late"])
def test_an_answer_that_came_late_is_not_taken_for_that_of_the_next_question(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr(shared_store, "LEFT_ALONE_SECONDS", 0.0)
    monkeypatch.setattr(shared_store, "ANSWER_SECONDS", 0.2)

    async def echo(store: AsyncStore, text: str) -> bytes:
        return await store.ask(lambda redis: redis.echo(text), b"")

    async def asked() -> list[bytes]:
        store = AsyncStore()
        await asyncio.gather(*(echo(store, f"{n}") for n in range(3)))
        server.hang()
        work = [asyncio.create_task(echo(store, "late")) for _n in range(3)]
        await asyncio.sleep(0.05)
        if ends == "cancelled":
            for each in work:
                each.cancel()
        await asyncio.wait(work)
        server.go_on()
        found = list(await asyncio.gather(*(echo(store, f"{n}") for n in range(20))))
        await store.aclose()
        return found

    assert asyncio.run(asked()) == [f"{n}".encode() for n in range(20)]


def test_a_thread_does_not_take_a_late_answer_for_the_next_one_either(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_store, "LEFT_ALONE_SECONDS", 0.0)
    monkeypatch.setattr(shared_store, "ANSWER_SECONDS", 0.2)
    for n in range(20):
        cache.set(f"{n}", n)
    server.hang()
    assert cache.get("7") is None
    server.go_on()
    assert [cache.get(f"{n}") for n in range(20)] == list(range(20))


def test_a_connection_that_broke_while_nobody_used_it_is_opened_anew(server: RedisServer) -> None:
    async def asked() -> bool:
        store = AsyncStore()
        assert await ping(store)
        server.kill()
        server.start_again()
        found = await ping(store)
        await store.aclose()
        return found

    assert asyncio.run(asked())
    assert not shared_store.is_away()


@pytest.mark.parametrize("refusal", ["a wrong password", "no permission", "copies that are gone", "a mere copy"])
def test_a_redis_that_takes_nothing_from_us_is_gone_without(server: RedisServer, refusal: str) -> None:
    assert rates.admit("x", limit=9) == 0
    server.refuse(refusal)
    assert rates.admit("x", limit=1) == 0
    assert shared_store.is_away()
    shared_store.answered()
    assert asyncio.run(admit("y", limit=1)) == 0
    assert shared_store.is_away()


def test_a_fault_of_ours_is_not_taken_for_a_redis_that_is_away(server: RedisServer) -> None:
    cache.set("x", "a word")
    with pytest.raises(Exception, match="not an integer"):
        cache.incr("x")
    assert not shared_store.is_away()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("", ""),
        ("redis://:pw@host:6379/1", "redis://:pw@host:6379/1"),
        ("valkey://host", "redis://host"),
        ("VALKEYS://host", "rediss://host"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_the_address_of_a_valkey_is_understood_too(given: str, used: str) -> None:
    assert redis_url(given) == used


@pytest.mark.parametrize("given", ["localhost:6379", "http://host", "redis:/host"])
def test_another_kind_of_address_is_refused_when_the_process_starts(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL begins with"):
        redis_url(given)
