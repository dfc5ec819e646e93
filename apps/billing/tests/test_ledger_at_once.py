"""The short forms of holding and settling: the same rows as the long ones leave, and not one call more admitted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import selectors, services
from apps.billing.engine.ledger import Hold, Reserved, Spent, Wait
from apps.billing.errors import BudgetExceeded
from apps.billing.ledger_async import AsyncLedger, alike, connection_string
from apps.billing.models import Alert, BudgetPeriod, LedgerEntry, ProviderState, Reservation, ReservationHold
from apps.core.db import in_database
from apps.core.tests.factories import BudgetFactory, LanguageModelFactory, PriceFactory
from apps.providers.models import ProviderKey

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
# Of the team that tests make; with another one the short form would admit nothing.
ZONE = "Europe/Berlin"


@pytest.fixture(autouse=True)
def needs_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: the asynchronous ledger exists for it alone")


@pytest.fixture
def hold(team: Team) -> Hold:
    model, price = LanguageModelFactory.create(team=team), PriceFactory.create()
    later = timezone.now() + timedelta(minutes=5)
    return Hold(team.pk, None, model.pk, price.pk, "test", attempt=1, amount_nanousd=10, expires_at=later, leaves=True)


def with_ledgers(work: Callable[..., Awaitable[T]], count: int = 1) -> T:
    """The work of a loop that has so many pools, as so many processes would."""

    async def run() -> T:
        conninfo = await in_database(connection_string)
        ledgers = [await AsyncLedger(conninfo).__aenter__() for _ in range(count)]
        try:
            return await work(*ledgers)
        finally:
            for ledger in ledgers:
                await ledger.__aexit__(None, None, None)

    return asyncio.run(run())


async def call(ledger: AsyncLedger, hold: Hold, spent: int = 7) -> bool:
    try:
        reserved = await ledger.reserve(hold, time_zone=ZONE)
    except BudgetExceeded:
        return False
    assert isinstance(reserved, Reserved)
    await ledger.settle(reserved.reservation_id, Spent(spent, prompt_tokens=3), group=alike(hold))
    return True


def rows(model: Any, *left_out: str) -> list[dict[str, Any]]:
    """Every row without what differs from one call to the next."""
    changing = {"id", "uid", "created_at", "closed_at", "sent_at", "reservation_id", *left_out}
    return [{name: row[name] for name in row if name not in changing} for row in model.objects.order_by("id").values()]


def test_both_forms_leave_the_same_rows(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team)
    BudgetFactory.create(team=team, period="daily", hard=False, limit_nanousd=1)

    async def both(ledger: AsyncLedger) -> None:
        long = await ledger.reserve(hold)
        assert isinstance(long, Reserved)
        await ledger.settle(long.reservation_id, Spent(7, prompt_tokens=3))
        # Whatever the short form does not do is an error from here on.
        without_the_long_form: Any = ledger
        without_the_long_form._run = None
        assert await call(ledger, hold)

    with_ledgers(both)

    for model in (Reservation, LedgerEntry):
        first, second = rows(model)
        assert first == second
    assert [row.sent_at is not None for row in Reservation.objects.all()] == [True, True]
    assert ReservationHold.objects.count() == 4
    assert set(BudgetPeriod.objects.values_list("spent_nanousd", "held_nanousd")) == {(14, 0)}
    assert selectors.ledger_balance_problems() == []


def test_three_processes_admit_exactly_what_the_tightest_budget_has_room_for(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team, limit_nanousd=10_000)
    BudgetFactory.create(team=team, limit_nanousd=10 * 40, period="monthly")
    looks: list[tuple[int, int]] = []

    async def all_of_them(*ledgers: AsyncLedger) -> list[bool]:
        done = asyncio.gather(*(call(ledger, hold, 10) for ledger in ledgers for _ in range(60)))
        while not done.done():
            looks.extend(await in_database(_spent_and_held))
            await asyncio.sleep(0.005)
        return await done

    assert sum(with_ledgers(all_of_them, 3)) == 40
    assert looks
    assert max(sum(look) for look in looks) <= 400
    assert set(BudgetPeriod.objects.values_list("spent_nanousd", "held_nanousd")) == {(400, 0)}
    assert Reservation.objects.count() == LedgerEntry.objects.count() == 40
    assert selectors.ledger_balance_problems() == []


def _spent_and_held() -> list[tuple[int, int]]:
    return list(BudgetPeriod.objects.filter(limit_nanousd=400).values_list("spent_nanousd", "held_nanousd"))


def test_the_places_of_a_providers_key_are_counted_exactly_across_processes(team: Team, hold: Hold) -> None:
    key = ProviderKey.objects.create(team=team, provider="openai", name="k", source="environment", max_concurrency=5)
    of_key = replace(hold, provider_key_id=key.pk, max_concurrency=5)

    async def rush(*ledgers: AsyncLedger) -> list[Reserved | Wait]:
        # The first one makes the row of the key's state.
        first = await ledgers[0].reserve(of_key, time_zone=ZONE)
        more = [ledger.reserve(of_key, time_zone=ZONE) for ledger in ledgers for _ in range(12)]
        return [first, *await asyncio.gather(*more)]

    found = with_ledgers(rush, 3)
    assert sum(isinstance(each, Reserved) for each in found) == 5 == Reservation.objects.filter(state="held").count()
    assert {each.reason for each in found if isinstance(each, Wait)} == {"concurrency"}


def test_a_provider_that_failed_is_forgiven_with_its_first_answer(team: Team, hold: Hold) -> None:
    key = ProviderKey.objects.create(team=team, provider="openai", name="k", source="environment")
    ProviderState.objects.create(provider_key=key, failures=3)
    with_ledgers(lambda ledger: call(ledger, replace(hold, provider_key_id=key.pk)))
    assert ProviderState.objects.get().failures == 0
    assert selectors.ledger_balance_problems() == []


def test_a_refusal_has_the_figures_of_the_long_form(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team, limit_nanousd=15)

    async def twice(ledger: AsyncLedger) -> None:
        await ledger.reserve(hold, time_zone=ZONE)
        with pytest.raises(BudgetExceeded) as refused:
            await ledger.reserve(hold, time_zone=ZONE)
        found = refused.value.refused
        assert (found.limit_nanousd, found.spent_nanousd, found.held_nanousd, found.needed_nanousd) == (15, 0, 10, 10)

    with_ledgers(twice)
    assert Reservation.objects.count() == 1


def test_a_time_zone_that_the_team_has_changed_is_not_believed(team: Team, hold: Hold) -> None:
    Team.objects.filter(pk=team.pk).update(time_zone="Pacific/Kiritimati")
    BudgetFactory.create(team=team, period="daily")

    async def twice(ledger: AsyncLedger) -> None:
        # UTC-12, which never has the date of UTC+14.
        await ledger.reserve(hold, time_zone="Etc/GMT+12")
        await ledger.reserve(hold, time_zone="Etc/GMT+12")

    with_ledgers(twice)
    period = BudgetPeriod.objects.get()
    assert period.key == f"{timezone.now() + timedelta(hours=14):%Y-%m-%d}"
    assert period.held_nanousd == 20


def test_a_hold_whose_commit_was_not_heard_of_is_found_again(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team)
    named = replace(hold, uid="0" * 31 + "1")

    async def interrupted(ledger: AsyncLedger) -> tuple[Any, Any]:
        first = await ledger.reserve(named, time_zone=ZONE)
        # The answer to the second is lost, as it is when the server is restarted at that moment.
        together: Any = ledger._holds
        together.do, do = _cut_off_once(together.do), together.do
        second = await ledger.reserve(replace(named, uid="0" * 31 + "2"), time_zone=ZONE)
        together.do = do
        return first, second

    first, second = with_ledgers(interrupted)
    assert first.reservation_id != second.reservation_id
    assert Reservation.objects.count() == 2
    assert BudgetPeriod.objects.get().held_nanousd == 20


def _cut_off_once(do: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    import psycopg

    cut = False

    async def cutting(group: Any, work: Any) -> Any:
        nonlocal cut
        outcome = await do(group, work)
        if not cut:
            cut = True
            raise psycopg.OperationalError("the connection is lost")
        return outcome

    return cutting


def test_a_hold_is_waited_for_on_the_disk_after_it_is_seen_and_before_it_is_said(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team)

    async def run() -> tuple[list[int], list[int]]:
        # A server for tests may be told not to wait.
        conninfo = f"{await in_database(connection_string)} options='-c synchronous_commit=on'"
        async with AsyncLedger(conninfo) as ledger:
            await ledger.reserve(hold, time_zone=ZONE)
            disk: Any = ledger._disk
            reached, seen, behind = disk.reached, [], []

            async def reached_and_seen() -> None:
                seen.append(await in_database(Reservation.objects.count))
                ((now,),) = await ledger._rows("SELECT pg_current_wal_insert_lsn()", ())
                await reached()
                lag = "SELECT pg_wal_lsn_diff(%s, pg_current_wal_flush_lsn())"
                ((far,),) = await ledger._rows(lag, (now,))
                behind.append(int(far))

            disk.reached = reached_and_seen
            for _ in range(3):
                await ledger.reserve(hold, time_zone=ZONE)
            return seen, behind

    seen, behind = asyncio.run(run())
    assert seen == [2, 3, 4]
    assert all(far <= 0 for far in behind)


def test_what_cannot_be_booked_spoils_nothing_for_those_beside_it(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team)

    async def rush(ledger: AsyncLedger) -> list[Any]:
        await ledger.reserve(hold, time_zone=ZONE)
        wrong = replace(hold, price_id=10**9)
        holds = [hold, hold, wrong, hold]
        return await asyncio.gather(*(ledger.reserve(each, time_zone=ZONE) for each in holds), return_exceptions=True)

    found = with_ledgers(rush)
    assert [isinstance(each, Reserved) for each in found] == [True, True, False, True]
    assert "price" in str(found[2])
    assert not isinstance(found[2], IntegrityError)  # psycopg's own: nothing here is Django's connection
    assert BudgetPeriod.objects.get().held_nanousd == 40
    assert selectors.ledger_balance_problems() == []


def test_a_limit_that_is_changed_meanwhile_and_calls_in_both_forms_wait_for_each_other_in_one_order(
    team: Team, alice: User, hold: Hold, caplog: pytest.LogCaptureFixture
) -> None:
    budget = BudgetFactory.create(team=team)
    BudgetFactory.create(team=team, period="daily")

    async def in_the_long_form(ledger: AsyncLedger) -> bool:
        reserved = await ledger.reserve(hold)
        assert isinstance(reserved, Reserved)
        await ledger.settle(reserved.reservation_id, Spent(7))
        return True

    async def rush(*ledgers: AsyncLedger) -> list[bool]:
        calls = [call(ledger, hold) for ledger in ledgers for _ in range(40)]
        calls += [in_the_long_form(ledger) for ledger in ledgers for _ in range(5)]
        done = asyncio.gather(*calls)
        for number in range(20):
            change = partial(services.budget_limit_change, actor=alice, budget=budget, limit_nanousd=10**9 + number)
            await in_database(change)
        return await done

    assert all(with_ledgers(rush, 2))
    assert BudgetPeriod.objects.filter(spent_nanousd=7 * 90, held_nanousd=0).count() == 2
    # A deadlock would be resolved by the server after a second, and its victim asked again.
    assert [record.message for record in caplog.records if "ledger" in record.name] == []
    assert selectors.ledger_balance_problems() == []


def test_levels_are_told_once_each_by_whichever_form_reaches_them(team: Team, hold: Hold) -> None:
    odd = 1_201
    BudgetFactory.create(team=team, limit_nanousd=odd)
    BudgetFactory.create(team=team, limit_nanousd=600, period="monthly", hard=False)

    async def rush(*ledgers: AsyncLedger) -> None:
        await asyncio.gather(*(call(ledger, hold, 10) for ledger in ledgers for _ in range(20)))
        # One nano-dollar more: half of an odd limit is rounded up.
        assert await call(ledgers[0], hold, 1)
        # Dearer than what is held: the long form books and tells it.
        assert await call(ledgers[0], hold, 12)

    with_ledgers(rush, 3)

    told = Alert.objects.filter(kind="spent").order_by("limit_nanousd", "level")
    assert list(told.values_list("limit_nanousd", "level", "spent_nanousd")) == [
        (600, 50, 300), (600, 80, 480), (600, 100, 600), (odd, 50, 601),
    ]  # fmt: skip
    assert list(Alert.objects.filter(kind="overrun").values_list("spent_nanousd", "held_nanousd")) == [(12, 10)]
    assert Alert.objects.values("uid").distinct().count() == 5
    assert set(BudgetPeriod.objects.values_list("spent_nanousd", "told_percent")) == {(613, 50), (613, 100)}


def test_one_settlement_may_reach_levels_of_several_budgets(team: Team, hold: Hold, alice: User) -> None:
    for period in ("total", "monthly", "daily"):
        BudgetFactory.create(team=team, limit_nanousd=10**18, period=period)
    closed = BudgetFactory.create(team=team, limit_nanousd=10**18, hard=False)

    async def jump(ledger: AsyncLedger) -> None:
        reserved = await ledger.reserve(replace(hold, amount_nanousd=9 * 10**17), time_zone=ZONE)
        assert isinstance(reserved, Reserved)
        await in_database(partial(services.budget_close, actor=alice, budget=closed))
        await ledger.settle(reserved.reservation_id, Spent(8 * 10**17), group=alike(hold))

    with_ledgers(jump)

    found = Alert.objects.values_list("level", "spent_nanousd", "held_nanousd")
    assert list(found) == [(80, 8 * 10**17, 0)] * 3
    assert Alert.objects.values("uid").distinct().count() == 3
