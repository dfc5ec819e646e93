"""Levels of a budget: each told once, with the money that reached it, whatever happens at the same time."""

import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import ledger_runner, services
from apps.billing.engine.ledger import Hold, Spent
from apps.billing.errors import BudgetExceeded
from apps.billing.models import Alert, BudgetPeriod
from apps.billing.tests.processes import start_process
from apps.core.tests.factories import BudgetFactory, ExperimentFactory, LanguageModelFactory, PriceFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def hold(team: Team) -> Hold:
    model, price = LanguageModelFactory.create(team=team), PriceFactory.create()
    later = timezone.now() + timedelta(minutes=5)
    return Hold(team.pk, None, model.pk, price.pk, purpose="test", attempt=1, amount_nanousd=10, expires_at=later)


def reserve(hold: Hold, **changes: Any) -> int:
    values = {name: getattr(hold, name) for name in Hold.__slots__} | changes
    return ledger_runner.reserve(Hold(**values)).reservation_id  # type: ignore[union-attr]


def spend(hold: Hold, cost: int, **changes: Any) -> None:
    reservation = reserve(hold, **{"amount_nanousd": cost, **changes})
    ledger_runner.settle(reservation, Spent(cost))


def told() -> list[tuple[str, int, int, int]]:
    """(kind, level, spent, held) of every alert, oldest first."""
    return list(Alert.objects.order_by("id").values_list("kind", "level", "spent_nanousd", "held_nanousd"))


def test_each_level_is_told_once_with_both_numbers(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team, limit_nanousd=100)
    spend(hold, 49)
    assert told() == []
    under_way = reserve(hold, amount_nanousd=20)
    assert told() == [], "what is held is not spent"
    spend(hold, 1)
    spend(hold, 5)
    ledger_runner.release(under_way)
    spend(hold, 25)
    spend(hold, 20)

    assert told() == [("spent", 50, 50, 20), ("spent", 80, 80, 0), ("spent", 100, 100, 0)]


def test_who_jumps_over_levels_is_told_the_highest_alone(team: Team, hold: Hold) -> None:
    soft = BudgetFactory.create(team=team, limit_nanousd=100, hard=False)
    spend(hold, 130)
    spend(hold, 40)

    assert told() == [("spent", 100, 130, 0)]
    assert Alert.objects.get().budget_period.budget == soft  # type: ignore[union-attr]


def test_a_hard_budget_whose_last_cents_suffice_for_nothing_is_used_up_when_a_call_is_refused(
    team: Team, hold: Hold
) -> None:
    BudgetFactory.create(team=team, limit_nanousd=100)
    spend(hold, 97)
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            reserve(hold)

    assert told() == [("spent", 80, 97, 0), ("spent", 100, 97, 0)]
    assert Alert.objects.latest("id").needed_nanousd == 10


def test_a_refusal_for_what_others_hold_or_for_one_huge_call_takes_no_level_s_place(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team, limit_nanousd=100)
    with pytest.raises(BudgetExceeded):
        reserve(hold, amount_nanousd=1000)
    under_way = reserve(hold, amount_nanousd=95)
    with pytest.raises(BudgetExceeded):
        reserve(hold)
    ledger_runner.settle(under_way, Spent(95))
    with pytest.raises(BudgetExceeded):
        reserve(hold)

    assert told() == [("refused", 0, 0, 0), ("spent", 80, 95, 0), ("spent", 100, 95, 0)]


def test_a_new_period_tells_again_in_the_team_s_own_days(team: Team, hold: Hold) -> None:
    Team.objects.filter(pk=team.pk).update(time_zone="Asia/Tokyo")
    BudgetFactory.create(team=team, limit_nanousd=100, period="daily")
    # Half past eleven in the evening in Tokyo, and half past twelve.
    for moment in (datetime(2026, 11, 24, 14, 30, tzinfo=UTC), datetime(2026, 11, 24, 15, 30, tzinfo=UTC)):
        with time_machine.travel(moment, tick=False):
            spend(hold, 60)
            spend(hold, 1)

    keys = Alert.objects.order_by("id").values_list("budget_period__key", "level")
    assert list(keys) == [("2026-11-24", 50), ("2026-11-25", 50)]


def test_another_limit_has_its_own_levels_and_tells_none_that_is_behind(team: Team, hold: Hold, alice: User) -> None:
    budget = services.budget_create(actor=alice, team=team, limit_nanousd=100)
    spend(hold, 85)
    services.budget_limit_change(actor=alice, budget=budget, limit_nanousd=160)
    spend(hold, 1)
    assert [level for _, level, *_ in told()] == [80]
    spend(hold, 42)
    assert [level for _, level, *_ in told()] == [80, 80]

    services.budget_limit_change(actor=alice, budget=budget, limit_nanousd=100)
    with pytest.raises(BudgetExceeded):
        reserve(hold)
    assert told()[2:] == [], "whoever sets a limit below what is spent knows that it is passed"


def test_a_correction_tells_too_and_a_closed_budget_tells_nothing(team: Team, hold: Hold, alice: User) -> None:
    budget = services.budget_create(actor=alice, team=team, limit_nanousd=100)
    reservation = reserve(hold)
    ledger_runner.settle(reservation, Spent(10))
    ledger_runner.correct(reservation, 55, "invoice")
    assert [level for _, level, *_ in told() if level] == [50]

    late = reserve(hold, amount_nanousd=40)
    services.budget_close(actor=alice, budget=budget)
    ledger_runner.settle(late, Spent(40))
    assert [level for _, level, *_ in told() if level] == [50]


def test_eight_settlements_at_once_tell_each_level_of_each_budget_once(team: Team, hold: Hold) -> None:
    experiment = ExperimentFactory.create(team=team)
    budgets = [
        BudgetFactory.create(team=team, limit_nanousd=160),
        BudgetFactory.create(team=team, experiment=experiment, limit_nanousd=80),
    ]
    reservations = [reserve(hold, experiment_id=experiment.pk) for _ in range(8)]
    gate, failed = threading.Barrier(8), []

    def settle(reservation: int) -> None:
        try:
            gate.wait(10)
            ledger_runner.settle(reservation, Spent(10))
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=settle, args=(each,)) for each in reservations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failed == []
    levels = [
        list(Alert.objects.filter(budget_period__budget=each).order_by("id").values_list("level", "spent_nanousd"))
        for each in budgets
    ]
    # The eighth brings the team's budget to half, the experiment's to its end; seven of ten are 87 % of eight.
    assert levels == [[(50, 80)], [(50, 40), (80, 70), (100, 80)]]


def killed_in_the_transaction(reservation: int) -> None:
    ledger_runner.settle(reservation, Spent(10), and_then=lambda closed: os.kill(os.getpid(), signal.SIGKILL))


def test_a_process_killed_while_it_settles_tells_nothing_and_the_sweep_tells_once(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team, limit_nanousd=10)
    reservation = reserve(hold, holder="elsewhere:1:1")
    assert ledger_runner.mark_sent(reservation)
    process = start_process(killed_in_the_transaction, reservation)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert told() == []

    for _ in range(2):
        ledger_runner.sweep(["elsewhere:1:1"])
    assert told() == [("spent", 100, 10, 0)]
    assert BudgetPeriod.objects.get().told_percent == 100


def test_a_call_dearer_than_its_hold_is_told_once_for_its_model_and_day(team: Team, hold: Hold) -> None:
    now = timezone.now()
    for day in (now, now, now + timedelta(days=1)):
        with time_machine.travel(day, tick=False):
            ledger_runner.settle(reserve(hold), Spent(12))

    assert told() == [("overrun", 0, 12, 10)] * 2
    assert Alert.objects.filter(language_model_id=hold.language_model_id).count() == 2


def test_levels_that_are_not_reached_cost_the_ledger_no_statement(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team, limit_nanousd=1000)
    spend(hold, 1)
    with CaptureQueriesContext(connection) as reserving:
        reservation = reserve(hold)
    with CaptureQueriesContext(connection) as settling:
        ledger_runner.settle(reservation, Spent(10))

    def sent(queries: CaptureQueriesContext) -> list[str]:
        words = (query["sql"].split()[0] for query in queries.captured_queries)
        return [word for word in words if word in {"SELECT", "INSERT", "UPDATE", "DELETE"}]

    assert sent(reserving) == ["SELECT", "SELECT", "SELECT", "INSERT", "UPDATE", "INSERT"]
    assert sent(settling) == ["UPDATE", "INSERT", "SELECT", "UPDATE"]
