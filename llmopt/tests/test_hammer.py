"""A thousand calls of a cent against five dollars, from processes of every kind that calls models."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkProcess
from typing import Any

import aiohttp
import pytest

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.billing import loop_thread, selectors, services
from apps.billing.engine.rates import Rate, TokenRates
from apps.billing.errors import BudgetExceeded
from apps.billing.metering import Metering
from apps.billing.models import BudgetPeriod, LedgerEntry, Reservation
from apps.billing.tests.processes import start_process
from apps.billing.tests.provider_world import GPT, call_of, commercial_model, provider_key
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply
from llmopt.tests.gateway_server import edge_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases, pytest.mark.slow]

CENT = 10_000_000
CALLS = 1000
WORDS = 10


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        running.reply = Reply(" ".join(["word"] * WORDS))
        yield running


@pytest.fixture
def model(team: Team, alice: User, server: FakeProvider, settings: Any) -> LanguageModel:
    """Each call costs a cent, and no call can cost more: nothing for what is read, a tenth of a cent for each token."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.API_REQUESTS_PER_MINUTE = 0
    model = commercial_model(provider_key(team, server, settings))
    ProviderKey.objects.update(max_concurrency=200)
    rates = TokenRates(Rate(0), Rate(CENT // WORDS * 1_000_000))
    services.token_price_create(actor=alice, team=team, model=model, rates=rates, source="a cent a call")
    services.budget_create(actor=alice, team=team, limit_nanousd=500 * CENT)
    services.budget_create(actor=alice, team=team, period="monthly", limit_nanousd=5000 * CENT)
    return model


def _call(model: LanguageModel, number: int) -> Any:
    return call_of(model, f"number {number}", max_tokens=WORDS, use_cache=False)


def evaluation_loop(model: LanguageModel, numbers: range) -> None:
    """As a worker evaluates: one event loop, many calls under way."""

    async def all_of_them() -> None:
        async with Metering() as metering:
            gate = asyncio.Semaphore(16)

            async def one(number: int) -> None:
                async with gate:
                    try:
                        assert not (await metering.generate(_call(model, number))).error
                    except BudgetExceeded:
                        return

            await asyncio.gather(*(one(number) for number in numbers))

    asyncio.run(all_of_them())


def sync_services(model: LanguageModel, numbers: range) -> None:
    """As pages and chains call: threads that wait, over one loop of the process."""

    def one(number: int) -> None:
        try:
            assert not loop_thread.generate(_call(model, number)).error
        except BudgetExceeded:
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, numbers))
    loop_thread.stop_loop_thread()


def gateway(key: str, numbers: range) -> None:
    """A web process of its own, and the clients that call it."""

    async def clients(address: str) -> None:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            gate = asyncio.Semaphore(16)

            async def one(number: int) -> None:
                said = [{"role": "user", "content": f"number {number}"}]
                body = {"model": GPT, "messages": said, "max_tokens": WORDS}
                async with gate, session.post(f"{address}/v1/chat/completions", json=body) as answer:
                    assert answer.status in (200, 402), await answer.text()

            await asyncio.gather(*(one(number) for number in numbers))

    with edge_server() as address:
        asyncio.run(clients(address))


def look_while(workers: Sequence[ForkProcess], *, until: Callable[[], bool] = lambda: False) -> int:
    """Look at every budget until no worker is alive, or `until` is true; how many looks it were."""
    looks = 0
    while any(worker.is_alive() for worker in workers) and not until():
        for period in BudgetPeriod.objects.all():
            assert period.spent_nanousd + period.held_nanousd <= period.limit_nanousd
            looks += 1
        time.sleep(0.02)
    return looks


def test_five_hundred_of_a_thousand_are_admitted_and_the_books_never_show_more(
    team: Team, bob: User, model: LanguageModel, server: FakeProvider
) -> None:
    key = api_key_create(actor=bob, team=team, name="shop", scopes=["generate"]).text
    kinds: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (evaluation_loop, (model, range(0, 250))),
        (evaluation_loop, (model, range(250, 500))),
        (sync_services, (model, range(500, 750))),
        (gateway, (key, range(750, CALLS))),
    ]
    workers = [start_process(work, *arguments) for work, arguments in kinds]
    looks = look_while(workers)

    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    assert looks > 50
    assert LedgerEntry.objects.filter(kind="settled").count() == 500 == len(server.requests)
    assert Reservation.objects.exclude(state="settled").count() == 0
    assert selectors.spent_and_held(team) == selectors.SpentAndHeld(500 * CENT, 0)
    assert selectors.ledger_balance_problems() == []


def test_processes_that_are_killed_lose_no_cent_and_their_budget_is_spent_to_the_last_one(
    team: Team, bob: User, model: LanguageModel, server: FakeProvider
) -> None:
    key = api_key_create(actor=bob, team=team, name="shop", scopes=["generate"]).text
    server.reply = dataclasses.replace(server.reply, delay=0.02)
    kinds: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (evaluation_loop, (model, range(0, 250))),
        (sync_services, (model, range(250, 500))),
        (gateway, (key, range(500, 750))),
    ]
    workers = [start_process(work, *arguments) for work, arguments in kinds]
    for number, worker in enumerate(workers):
        look_while(workers, until=lambda: len(server.requests) >= 60 * (number + 1))  # noqa: B023 - called here
        assert worker.is_alive()
        worker.kill()
        worker.join()
    sent_before = len(server.requests)
    assert Reservation.objects.filter(state="held").exists()

    swept = services.reservations_sweep()
    assert {closed.outcome for closed in swept} <= {"released", "unknown"}
    unknown = LedgerEntry.objects.filter(kind="unknown").count()
    # Each request that left is in the books; what is there beside them was about to leave.
    booked = LedgerEntry.objects.count()
    assert sent_before <= booked <= sent_before + unknown
    assert selectors.spent_and_held(team) == selectors.SpentAndHeld(booked * CENT, 0)

    last = start_process(evaluation_loop, model, range(750, 1300))
    assert look_while([last]) > 10
    assert last.exitcode == 0
    assert LedgerEntry.objects.count() == 500
    assert selectors.spent_and_held(team) == selectors.SpentAndHeld(500 * CENT, 0)
    assert len(server.requests) <= 500
    assert selectors.ledger_balance_problems() == []
