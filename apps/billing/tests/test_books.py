"""Metering that books by a pool: what callers do in the middle, and what is remembered between calls."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from apps.accounts.models import Team, User
from apps.billing import known_prices, selectors, services
from apps.billing.books import PooledBooks, ThreadBooks, fastest_books
from apps.billing.engine.rates import Rate, TokenRates
from apps.billing.metering import MeteredResult, Metering
from apps.billing.models import BudgetPeriod, LedgerEntry, Reservation
from apps.billing.tests.provider_world import call_of, commercial_model, provider_key
from apps.core.tests.factories import BudgetFactory
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def model(team: Team, server: FakeProvider, settings: Any, empty_cache_memory: None) -> LanguageModel:
    known_prices.forget_prices()
    BudgetFactory.create(team=team)
    return commercial_model(provider_key(team, server, settings))


def needs_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: the asynchronous ledger exists for it alone")


@pytest.mark.both_databases
def test_the_database_decides_where_attempts_are_booked() -> None:
    kind = PooledBooks if connection.vendor == "postgresql" else ThreadBooks
    assert type(fastest_books()) is kind


def test_a_caller_that_is_cancelled_at_any_moment_leaves_nothing_held(
    model: LanguageModel, server: FakeProvider
) -> None:
    needs_postgresql()
    server.reply = Reply(delay=0.1)

    async def run() -> None:
        async with Metering(books=PooledBooks()) as metering:
            await metering.generate(call_of(model, use_cache=False))
            for moment in range(12):
                work = asyncio.create_task(metering.generate(call_of(model, f"{moment}", use_cache=False)))
                await asyncio.sleep(moment / 1000)
                work.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await work

    asyncio.run(run())
    states = set(Reservation.objects.values_list("state", flat=True))
    assert states <= {"settled", "released", "unknown"}
    assert "unknown" in states
    assert BudgetPeriod.objects.get().held_nanousd == 0
    assert selectors.ledger_balance_problems() == []


def test_a_price_that_is_set_holds_for_the_next_call(model: LanguageModel, alice: User, team: Team) -> None:
    needs_postgresql()

    async def call() -> MeteredResult:
        async with Metering(books=PooledBooks()) as metering:
            return await metering.generate(call_of(model, use_cache=False))

    published = asyncio.run(call())
    rates = TokenRates(Rate(0), Rate(0), request_nanousd=12_345)
    services.token_price_create(actor=alice, team=team, model=model, rates=rates, source="agreed")
    assert published.cost_nanousd not in (0, 12_345)
    assert asyncio.run(call()).cost_nanousd == 12_345


def test_an_answer_from_memory_is_booked_like_any_other(model: LanguageModel, server: FakeProvider) -> None:
    needs_postgresql()

    async def calls() -> list[MeteredResult]:
        async with Metering(books=PooledBooks()) as metering:
            return [await metering.generate(call_of(model)) for _ in range(3)]

    first, *hits = asyncio.run(calls())
    assert len(server.requests) == 1
    assert [hit.cached for hit in hits] == [True, True]
    entries = list(LedgerEntry.objects.order_by("id"))
    assert [entry.kind for entry in entries] == ["settled", "cached", "cached"]
    assert [entry.saved_nanousd for entry in entries] == [0, first.cost_nanousd, first.cost_nanousd]
    assert [hit.generation_uid for hit in hits] == [entry.uid.hex for entry in entries[1:]]
    assert hits[0].text == first.text
