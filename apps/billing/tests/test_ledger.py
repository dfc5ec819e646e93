"""The states of a reservation, and the books behind them."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.accounts.models import Team
from apps.billing import ledger_runner, selectors, services
from apps.billing.engine import ledger
from apps.billing.engine.ledger import Closed, Hold, LedgerError, Moment, Refused, Reserved, Spent, Steps
from apps.billing.errors import BudgetExceeded
from apps.billing.models import Budget, BudgetPeriod, LedgerEntry, Reservation
from apps.core.tests.factories import BudgetFactory, ExperimentFactory, LanguageModelFactory, PriceFactory, entry_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def hold(team: Team) -> Hold:
    model, price = LanguageModelFactory.create(team=team), PriceFactory.create()
    later = timezone.now() + timedelta(minutes=5)
    return Hold(team.pk, None, model.pk, price.pk, purpose="test", attempt=1, amount_nanousd=100, expires_at=later)


@pytest.fixture
def budget(team: Team) -> Budget:
    return BudgetFactory.create(team=team, limit_nanousd=250)


def reserve(hold: Hold, **changes: object) -> int:
    values = {name: getattr(hold, name) for name in Hold.__slots__}
    return ledger_runner.reserve(Hold(**{**values, **changes})).reservation_id


def counters() -> list[tuple[int, int]]:
    """(spent, held) of each budget period."""
    return list(BudgetPeriod.objects.order_by("id").values_list("spent_nanousd", "held_nanousd"))


def entries() -> list[tuple[str, int]]:
    return list(LedgerEntry.objects.order_by("id").values_list("kind", "amount_nanousd"))


def test_money_is_held_then_spent_and_the_rest_comes_back(hold: Hold, budget: Budget) -> None:
    reservation = reserve(hold)
    assert counters() == [(0, 100)]
    assert ledger_runner.mark_sent(reservation)
    closed = ledger_runner.settle(reservation, Spent(30, 5, 3, 0.5))
    assert closed is not None
    assert closed.outcome == "settled"
    assert counters() == [(30, 0)]
    assert entries() == [("settled", 30)]


def test_what_is_held_counts_against_the_limit(hold: Hold, budget: Budget) -> None:
    reserve(hold)
    reserve(hold)
    with pytest.raises(BudgetExceeded, match="no room") as caught:
        reserve(hold)
    assert (caught.value.refused.held_nanousd, caught.value.refused.needed_nanousd) == (200, 100)
    assert counters() == [(0, 200)]
    reserve(hold, amount_nanousd=50)
    assert counters() == [(0, 250)]


def test_a_refusal_by_one_budget_holds_nothing_in_the_others(team: Team, hold: Hold, budget: Budget) -> None:
    experiment = ExperimentFactory.create(team=team)
    BudgetFactory.create(team=team, experiment=experiment, limit_nanousd=99)
    with pytest.raises(BudgetExceeded, match="the experiment"):
        reserve(hold, experiment_id=experiment.pk)
    assert counters() == [(0, 0), (0, 0)]
    reserve(hold)  # outside the experiment its budget does not count
    assert counters() == [(0, 100), (0, 0)]


def test_without_a_budget_a_reservation_is_still_recorded(hold: Hold) -> None:
    ledger_runner.settle(reserve(hold), Spent(40))
    assert counters() == []
    assert entries() == [("settled", 40)]


def test_nothing_can_be_closed_twice(hold: Hold, budget: Budget) -> None:
    reservation = reserve(hold)
    ledger_runner.settle(reservation, Spent(30))
    assert ledger_runner.settle(reservation, Spent(30)) is None
    assert ledger_runner.release(reservation) is None
    assert ledger_runner.mark_unknown(reservation, "late") is None
    assert counters() == [(30, 0)]
    assert entries() == [("settled", 30)]


def test_a_closed_reservation_may_not_be_sent(hold: Hold, budget: Budget) -> None:
    reservation = reserve(hold)
    ledger_runner.release(reservation)
    assert not ledger_runner.mark_sent(reservation)
    assert counters() == [(0, 0)]


def test_a_sweep_releases_what_was_not_sent_and_books_what_was(hold: Hold, budget: Budget) -> None:
    past = timezone.now() - timedelta(seconds=1)
    unsent, sent, current = (
        reserve(hold, expires_at=past),
        reserve(hold, expires_at=past),
        reserve(hold, amount_nanousd=50),
    )
    ledger_runner.mark_sent(sent)
    outcomes = {closed.reservation_id: closed.outcome for closed in ledger_runner.sweep()}
    assert outcomes == {unsent: "released", sent: "unknown"}
    assert counters() == [(100, 50)]
    assert "ended without recording an answer" in LedgerEntry.objects.get().evidence
    assert Reservation.objects.get(pk=current).state == "held"


def test_a_sweep_knows_dead_processes_by_name(hold: Hold, budget: Budget) -> None:
    dead, alive = reserve(hold, holder="host:1:1.00"), reserve(hold, holder="host:2:2.00")
    assert [closed.reservation_id for closed in ledger_runner.sweep(["host:1:1.00"])] == [dead]
    assert Reservation.objects.get(pk=alive).state == "held"


def test_an_answer_after_the_sweep_corrects_the_books(hold: Hold, budget: Budget) -> None:
    reservation = reserve(hold)
    ledger_runner.mark_unknown(reservation, "no answer in time")
    closed = ledger_runner.settle(reservation, Spent(30, 5, 3, 0.5))
    assert closed is not None
    assert closed.outcome == "corrected"
    assert entries() == [("unknown", 100), ("correction", -70)]
    assert counters() == [(30, 0)]


def test_a_correction_is_a_second_entry(hold: Hold, budget: Budget) -> None:
    reservation = reserve(hold)
    with pytest.raises(LedgerError, match="no entry"):
        ledger_runner.correct(reservation, 10, "invoice")
    ledger_runner.mark_unknown(reservation, "no answer in time")
    ledger_runner.correct(reservation, 120, "invoice 7")
    ledger_runner.correct(reservation, 0, "invoice 7 was withdrawn")
    assert entries() == [("unknown", 100), ("correction", 20), ("correction", -120)]
    assert counters() == [(0, 0)]
    with pytest.raises(LedgerError, match="cannot have cost"):
        ledger_runner.correct(reservation, -1, "wrong")
    assert selectors.ledger_balance_problems() == []


def test_money_comes_back_to_the_period_it_was_held_in(team: Team, hold: Hold) -> None:
    BudgetFactory.create(team=team, period="daily", limit_nanousd=100)
    at = ledger_runner.moment()
    yesterday = Moment(at.now - timedelta(days=1), at.new_uid, at.lock)
    first = ledger_runner.run(ledger.reserve(yesterday, hold))
    assert isinstance(first, ledger.Reserved)
    reserve(hold)  # a new day has a counter of its own
    ledger_runner.settle(first.reservation_id, Spent(60))
    assert counters() == [(60, 0), (0, 100)]


def test_the_ledger_refuses_to_work_inside_another_transaction(hold: Hold, budget: Budget) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        reserve(hold)
    assert Reservation.objects.count() == 0


def test_what_is_to_be_stored_with_a_settlement_can_undo_it(hold: Hold, budget: Budget) -> None:
    def fails(closed: Closed | None) -> None:
        raise ValueError("cannot be stored")

    reservation = reserve(hold)
    with pytest.raises(ValueError, match="cannot be stored"):
        ledger_runner.settle(reservation, Spent(30), and_then=fails)
    assert counters() == [(0, 100)]
    assert entries() == []


def test_the_database_refuses_a_second_entry_that_is_no_correction(hold: Hold, budget: Budget) -> None:
    reservation = reserve(hold)
    ledger_runner.settle(reservation, Spent(30))
    with pytest.raises(IntegrityError):
        entry_of(Reservation.objects.get(pk=reservation), kind="unknown")


def test_books_that_do_not_add_up_are_found(hold: Hold, budget: Budget) -> None:
    settled, unknown = reserve(hold), reserve(hold)
    ledger_runner.settle(settled, Spent(30))
    ledger_runner.mark_unknown(unknown, "no answer")
    assert selectors.ledger_balance_problems() == []
    BudgetPeriod.objects.update(spent_nanousd=29, held_nanousd=1)
    LedgerEntry.objects.filter(kind="unknown").update(kind="correction")
    problems = selectors.ledger_balance_problems()
    assert len(problems) == 2
    assert "29 spent and 1 held, but its entries add up to 130 and its holds to 0" in problems[0]
    assert "is unknown, but its entry is None" in problems[1]
    Reservation.objects.filter(pk=settled).update(state="released")
    assert "is released, but its entry is settled" in selectors.ledger_balance_problems()[1]


def limit_set(budget: Budget, limit: int) -> None:
    services.budget_limit_change(actor=None, budget=budget, limit_nanousd=limit)


def test_a_limit_that_is_lowered_while_a_periods_first_call_is_being_held_binds_it(hold: Hold, budget: Budget) -> None:
    """The change finds no period yet: the one that is then made must not have the limit of before."""

    def in_another_thread() -> None:
        limit_set(budget, 5)
        connection.close()

    change = threading.Thread(target=in_another_thread)

    def pausing(steps: Steps[Reserved | Refused]) -> Steps[Reserved | Refused]:
        rows = yield next(steps)  # the budgets have been read
        change.start()
        change.join(0.5)  # SQLite makes it wait for this transaction, PostgreSQL does not
        try:
            while True:
                rows = yield steps.send(rows)
        except StopIteration as stop:
            outcome: Reserved | Refused = stop.value
            return outcome

    outcome = ledger_runner.run(pausing(ledger.reserve(ledger_runner.moment(), hold)))
    change.join(20)
    assert list(BudgetPeriod.objects.values_list("limit_nanousd", flat=True)) == [5]
    assert isinstance(outcome, Refused) == (connection.vendor == "postgresql")
    with pytest.raises(BudgetExceeded):
        reserve(hold)


def test_a_periods_first_call_waits_for_a_limit_that_is_being_lowered(hold: Hold, budget: Budget) -> None:
    refused = []

    def call() -> None:
        try:
            reserve(hold)
        except BudgetExceeded as error:
            refused.append(error)
        finally:
            connection.close()

    calling = threading.Thread(target=call)
    with transaction.atomic():
        limit_set(budget, 5)
        calling.start()
        calling.join(0.5)
        assert calling.is_alive()
    calling.join(20)
    assert len(refused) == 1
    assert list(BudgetPeriod.objects.values_list("limit_nanousd", flat=True)) == [5]
