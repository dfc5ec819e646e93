"""The same ledger through an asynchronous pool, as a gateway on PostgreSQL uses it."""

import asyncio
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from apps.accounts.models import Team
from apps.billing import selectors
from apps.billing.engine.ledger import Hold, Spent
from apps.billing.errors import BudgetExceeded
from apps.billing.ledger_async import AsyncLedger, connection_string
from apps.billing.models import BudgetPeriod, LedgerEntry, Reservation
from apps.core.db import in_database
from apps.core.models import AuditEvent
from apps.core.tests.factories import BudgetFactory, LanguageModelFactory, PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_CALLS, CALLS = 50, 120


def needs_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: the asynchronous ledger exists for it alone")


def hold_of(team: Team) -> Hold:
    model, price = LanguageModelFactory.create(team=team), PriceFactory.create()
    later = timezone.now() + timedelta(minutes=5)
    return Hold(team.pk, None, model.pk, price.pk, "test", attempt=1, amount_nanousd=10, expires_at=later)


async def spend(ledger: AsyncLedger, hold: Hold) -> bool:
    try:
        reserved = await ledger.reserve(hold)
    except BudgetExceeded:
        return False
    assert await ledger.mark_sent(reserved.reservation_id)
    await ledger.settle(reserved.reservation_id, Spent(10))
    return True


def test_many_calls_at_once_are_admitted_exactly(team: Team) -> None:
    needs_postgresql()
    BudgetFactory.create(team=team, limit_nanousd=LIMIT_CALLS * 10)
    hold = hold_of(team)

    async def run() -> list[bool]:
        async with AsyncLedger(await in_database(connection_string)) as ledger:
            return await asyncio.gather(*(spend(ledger, hold) for _ in range(CALLS)))

    assert sum(asyncio.run(run())) == LIMIT_CALLS
    assert list(BudgetPeriod.objects.values_list("spent_nanousd", "held_nanousd")) == [(LIMIT_CALLS * 10, 0)]
    assert selectors.ledger_balance_problems() == []


def test_every_end_of_an_attempt_is_booked(team: Team) -> None:
    needs_postgresql()
    BudgetFactory.create(team=team)
    hold = hold_of(team)

    async def run() -> None:
        async with AsyncLedger(await in_database(connection_string)) as ledger:
            released = await ledger.reserve(hold)
            unknown = await ledger.reserve(hold)
            overrun = await ledger.reserve(hold)
            await ledger.release(released.reservation_id)
            await ledger.mark_unknown(unknown.reservation_id, "no answer")
            await ledger.settle(overrun.reservation_id, Spent(11))

    asyncio.run(run())
    assert list(Reservation.objects.order_by("id").values_list("state", flat=True)) == [
        "released",
        "unknown",
        "settled",
    ]
    assert list(LedgerEntry.objects.order_by("id").values_list("amount_nanousd", flat=True)) == [10, 11]
    assert AuditEvent.objects.filter(verb="reservation.overrun").count() == 1
    assert selectors.ledger_balance_problems() == []


@pytest.mark.both_databases
def test_another_database_is_refused_by_name() -> None:
    if connection.vendor == "postgresql":
        assert "dbname=" in connection_string()
    else:
        with pytest.raises(ImproperlyConfigured, match="needs PostgreSQL"):
            connection_string()
