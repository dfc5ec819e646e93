"""What becomes of money when the gateway, its database or the clock fail in the middle of calls."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import aiohttp
import psycopg
import pytest
import time_machine
from django.core.cache import cache
from django.db import connection, connections
from django.utils import timezone
from psycopg import sql

from apps.accounts.keys import forget_keys
from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.billing import selectors, services
from apps.billing.generating import forget_models
from apps.billing.ledger_async import connection_string
from apps.billing.models import BudgetPeriod, LedgerEntry, Reservation
from apps.billing.tests.processes import start_process
from apps.billing.tests.provider_world import GPT, commercial_model, provider_key
from apps.core import shared_store
from apps.core.tests.factories import BudgetFactory
from apps.core.tests.redis_server import RedisServer, redis_server
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply
from llmopt.tests.gateway_server import edge_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

PATIENCE_SECONDS = 10.0


@pytest.fixture
def upstream() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def model(team: Team, upstream: FakeProvider, settings: Any, empty_cache_memory: None) -> LanguageModel:
    forget_models()
    forget_keys()
    cache.clear()
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.API_REQUESTS_PER_MINUTE = 0
    BudgetFactory.create(team=team)
    return commercial_model(provider_key(team, upstream, settings))


@pytest.fixture
def key(team: Team, bob: User) -> str:
    return api_key_create(actor=bob, team=team, name="shop", scopes=["generate"]).text


def wait_until(true: Any) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


async def ask(session: aiohttp.ClientSession, address: str, text: str = "Say hello", **more: Any) -> tuple[int, Any]:
    """Status and answer; 0 for a connection that broke."""
    body = {"model": GPT, "messages": [{"role": "user", "content": text}], "max_tokens": 16, **more}
    try:
        async with session.post(f"{address}/v1/chat/completions", json=body) as answer:
            return answer.status, await (answer.read() if more.get("stream") else answer.json())
    except aiohttp.ClientError:
        return 0, None


def client(key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"})


# --- the gateway is killed


def serve(address_file: str) -> None:
    """A web process of its own, until it is killed."""
    with edge_server() as address:
        with open(f"{address_file}.part", "w") as written:
            written.write(address)
        os.replace(f"{address_file}.part", address_file)
        time.sleep(60)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_gateway_that_is_killed_in_the_middle_of_calls_loses_no_hold_and_invents_none(
    model: LanguageModel, key: str, upstream: FakeProvider, tmp_path: Any, streamed: bool
) -> None:
    upstream.script(Reply())
    upstream.reply = Reply(after=2, then="hang")
    process = start_process(serve, str(tmp_path / "address"))
    wait_until((tmp_path / "address").exists)
    address = (tmp_path / "address").read_text()

    async def calls() -> list[tuple[int, Any]]:
        async with client(key) as session:
            assert (await ask(session, address))[0] == 200
            waiting = [asyncio.create_task(ask(session, address, f"{n}", stream=streamed)) for n in range(3)]
            await asyncio.to_thread(wait_until, lambda: len(upstream.requests) == 4)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            return list(await asyncio.gather(*waiting))

    assert [status for status, _ in asyncio.run(calls())] == [0, 0, 0]
    process.join()
    connections.close_all()
    held = dict(Reservation.objects.filter(state="held").values_list("id", "held_nanousd"))
    assert len(held) == 3
    assert selectors.held_total() == sum(held.values()) == BudgetPeriod.objects.get().held_nanousd
    settled = LedgerEntry.objects.get().amount_nanousd

    assert {closed.outcome for closed in services.reservations_sweep()} == {"unknown"}

    unknown = LedgerEntry.objects.filter(kind="unknown")
    assert dict(unknown.values_list("reservation_id", "amount_nanousd")) == held
    assert LedgerEntry.objects.count() == 4
    period = BudgetPeriod.objects.get()
    assert (period.spent_nanousd, period.held_nanousd) == (settled + sum(held.values()), 0)
    assert selectors.ledger_balance_problems() == []
    assert services.reservations_sweep() == []


# --- the database is restarted


def restart(conninfo: str, seconds: float) -> None:
    """What clients see while a server restarts: every connection is broken off, and for a while nobody gets one."""
    name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
    with psycopg.connect(psycopg.conninfo.make_conninfo(conninfo, dbname="postgres"), autocommit=True) as outside:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        outside.execute(allow.format(sql.Identifier(str(name)), sql.SQL("false")))
        try:
            outside.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            time.sleep(seconds)
        finally:
            outside.execute(allow.format(sql.Identifier(str(name)), sql.SQL("true")))


def test_while_the_database_restarts_calls_wait_or_are_told_so_and_the_books_balance(
    model: LanguageModel, key: str, upstream: FakeProvider
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: a file has no server that restarts")
    upstream.reply = Reply(delay=0.05)
    conninfo = connection_string()

    async def calls(address: str) -> list[tuple[int, Any]]:
        async with client(key) as session:
            assert (await ask(session, address))[0] == 200

            async def some(number: int) -> list[tuple[int, Any]]:
                return [await ask(session, address, f"{number}, {turn}") for turn in range(6)]

            working = asyncio.gather(*(some(number) for number in range(8)))
            await asyncio.to_thread(wait_until, lambda: len(upstream.requests) > 12)
            await asyncio.to_thread(restart, conninfo, 1.0)
            found = [answer for answers in await working for answer in answers]
            # Afterwards everything is as before.
            assert (await ask(session, address, "And now?"))[0] == 200
            return found

    with edge_server() as address:
        answers = asyncio.run(calls(address))
    connections.close_all()

    assert {status for status, _ in answers} <= {200, 503}
    assert {body["error"]["code"] for status, body in answers if status == 503} <= {"database_unavailable"}
    answered = sum(status == 200 for status, _ in answers) + 2
    assert answered > 40
    assert LedgerEntry.objects.filter(kind="settled").count() >= answered
    assert selectors.ledger_balance_problems() == []

    # What was cut off in between is found when its time is over.
    Reservation.objects.filter(state="held").update(expires_at=timezone.now() - timedelta(seconds=1))
    services.reservations_sweep()
    period = BudgetPeriod.objects.get()
    assert period.held_nanousd == 0
    assert period.spent_nanousd == sum(LedgerEntry.objects.values_list("amount_nanousd", flat=True))
    assert LedgerEntry.objects.exclude(kind="settled").count() <= len(upstream.requests) - answered + 16
    assert selectors.ledger_balance_problems() == []


# --- Redis goes away


@pytest.fixture
def redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    monkeypatch.setattr(shared_store, "LEFT_ALONE_SECONDS", 0.2)
    with redis_server(settings) as running:
        yield running


@pytest.fixture
def two_gateways(redis: RedisServer, model: LanguageModel, key: str, tmp_path: Any) -> Iterator[list[str]]:
    """Addresses of two web processes that share a database and Redis."""
    files = [tmp_path / "one", tmp_path / "two"]
    processes = [start_process(serve, str(file)) for file in files]
    try:
        wait_until(lambda: all(file.exists() for file in files))
        yield [file.read_text() for file in files]
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_two_gateways_make_one_of_their_equal_calls(two_gateways: list[str], key: str, upstream: FakeProvider) -> None:
    upstream.reply = Reply(delay=0.3)

    async def calls() -> list[tuple[int, Any]]:
        async with client(key) as session:
            return await asyncio.gather(*(ask(session, address, temperature=0) for address in two_gateways * 4))

    answers = asyncio.run(calls())
    assert [status for status, _ in answers] == [200] * 8
    assert len(upstream.requests) == 1
    assert sum(body["usage"]["llmopt"]["cost_nanousd"] > 0 for _, body in answers) == 1
    assert LedgerEntry.objects.filter(kind="settled").count() == 1


def test_two_gateways_count_the_requests_of_a_key_together(
    settings: Any, redis: RedisServer, model: LanguageModel, key: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 10
    addresses = request.getfixturevalue("two_gateways")

    async def calls() -> list[int]:
        async with client(key) as session:
            asked = (ask(session, address, f"{n}") for n, address in enumerate(addresses * 10))
            return [status for status, _ in await asyncio.gather(*asked)]

    # The minute may end in between: then what was counted in the one before still counts in part.
    statuses = asyncio.run(calls())
    assert 10 <= statuses.count(200) <= 11
    assert set(statuses) == {200, 429}


def test_when_redis_goes_away_in_the_middle_of_calls_all_are_answered_and_the_books_balance(
    two_gateways: list[str], redis: RedisServer, key: str, upstream: FakeProvider
) -> None:
    upstream.reply = Reply(delay=0.05)

    async def some(session: aiohttp.ClientSession, number: int, turns: int) -> list[int]:
        address = two_gateways[number % 2]
        # Some equal, some not; all of them looked up and shared through Redis.
        asked = [f"{number // 2}, {turn}" for turn in range(turns)]
        return [(await ask(session, address, text, temperature=0))[0] for text in asked]

    async def calls() -> list[int]:
        async with client(key) as session:
            working = asyncio.gather(*(some(session, number, 12) for number in range(8)))
            await asyncio.to_thread(wait_until, lambda: len(upstream.requests) > 8)
            await asyncio.to_thread(redis.kill)
            statuses = [status for statuses in await working for status in statuses]
            await asyncio.to_thread(redis.start_again)
            await asyncio.sleep(0.3)
            made = len(upstream.requests)
            now = (ask(session, address, "And now?", temperature=0) for address in two_gateways)
            statuses += [status for status, _ in await asyncio.gather(*now)]
            # They know of each other again.
            assert len(upstream.requests) == made + 1
            return statuses

    assert asyncio.run(calls()) == [200] * 98
    connections.close_all()
    # 49 are different; the rest were found, or made again while nobody could tell that they were under way.
    assert 49 <= len(upstream.requests) <= 97
    assert LedgerEntry.objects.filter(kind="settled").count() == len(upstream.requests)
    assert LedgerEntry.objects.filter(kind="cached").count() == 98 - len(upstream.requests)
    assert not Reservation.objects.exclude(state="settled").exists()
    assert BudgetPeriod.objects.get().held_nanousd == 0
    assert selectors.ledger_balance_problems() == []


def test_a_redis_that_hangs_slows_a_call_and_stops_none(
    redis: RedisServer, model: LanguageModel, key: str, upstream: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_store, "ANSWER_SECONDS", 0.5)

    async def calls(address: str) -> list[int]:
        async with client(key) as session:
            found = [(await ask(session, address, temperature=0))[0]]
            redis.hang()
            asked = (ask(session, address, f"{n}", temperature=0) for n in range(20))
            return found + [status for status, _ in await asyncio.gather(*asked)]

    began = time.monotonic()
    with edge_server() as address:
        assert asyncio.run(calls(address)) == [200] * 21
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert selectors.ledger_balance_problems() == []


# --- the clock is set


def test_a_clock_that_jumps_ahead_while_an_answer_is_awaited_books_it_once_at_its_price(
    model: LanguageModel, key: str, upstream: FakeProvider
) -> None:
    upstream.reply = Reply(delay=0.4)

    async def call(address: str) -> tuple[int, Any]:
        async with client(key) as session:
            waiting = asyncio.create_task(ask(session, address))
            await asyncio.to_thread(wait_until, lambda: len(upstream.requests) == 1)
            with time_machine.travel(timezone.now() + timedelta(days=1), tick=True):
                swept = await asyncio.to_thread(_swept)
                assert swept == ["unknown"]
                return await waiting

    with edge_server() as address:
        status, body = asyncio.run(call(address))

    assert status == 200
    entries = list(LedgerEntry.objects.order_by("id").values_list("kind", "amount_nanousd"))
    assert [kind for kind, _ in entries] == ["unknown", "correction"]
    assert sum(amount for _, amount in entries) == body["usage"]["llmopt"]["cost_nanousd"]
    assert BudgetPeriod.objects.get().spent_nanousd == body["usage"]["llmopt"]["cost_nanousd"]
    assert selectors.ledger_balance_problems() == []


def _swept() -> list[str]:
    try:
        return [closed.outcome for closed in services.reservations_sweep()]
    finally:
        connections.close_all()


def test_a_clock_that_is_set_back_keeps_nobody_waiting(model: LanguageModel, key: str, upstream: FakeProvider) -> None:
    ProviderKey.objects.update(requests_per_minute=2)

    async def calls(address: str) -> list[int]:
        async with client(key) as session:
            before = [(await ask(session, address, f"{n}"))[0] for n in range(2)]
            with time_machine.travel(timezone.now() - timedelta(hours=6), tick=True):
                return before + [(await ask(session, address, f"{n} again"))[0] for n in range(2)]

    began = time.monotonic()
    with edge_server() as address:
        assert asyncio.run(calls(address)) == [200] * 4
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert set(BudgetPeriod.objects.values_list("held_nanousd", flat=True)) == {0}
    assert selectors.ledger_balance_problems() == []
