"""Whatever happens in whatever order, the books agree with a model of them that fits on a page."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from apps.billing import ledger_runner, selectors
from apps.billing.engine.ledger import Hold, Spent
from apps.billing.errors import BudgetExceeded
from apps.billing.models import BudgetPeriod, Reservation
from apps.core.tests.factories import BudgetFactory, ExperimentFactory, LanguageModelFactory, PriceFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

TEAM_LIMIT, EXPERIMENT_LIMIT = 300, 200
AMOUNTS = st.integers(0, 120)


class Books(RuleBasedStateMachine):
    """A team's budget, and a smaller one for its experiment."""

    open_reservations = Bundle("open")
    closed_reservations = Bundle("closed")

    def __init__(self) -> None:
        super().__init__()
        self.experiment = ExperimentFactory.create()
        team = self.experiment.team
        self.budgets = {
            "team": BudgetFactory.create(team=team, limit_nanousd=TEAM_LIMIT),
            "experiment": BudgetFactory.create(team=team, experiment=self.experiment, limit_nanousd=EXPERIMENT_LIMIT),
        }
        self.model, self.price = LanguageModelFactory.create(team=team), PriceFactory.create()
        self.held: dict[int, tuple[int, bool]] = {}  # reservation: amount, in the experiment
        self.spent: dict[int, tuple[int, bool]] = {}
        self.sent: set[int] = set()
        self.made: set[int] = set()
        self.overrun = 0

    def totals(self, experiment_only: bool) -> tuple[int, int]:
        spent, held = (
            sum(amount for amount, inside in rows.values() if inside or not experiment_only)
            for rows in (self.spent, self.held)
        )
        return spent, held

    @rule(target=open_reservations, amount=AMOUNTS, inside=st.booleans(), late=st.booleans())
    def reserve(self, amount: int, inside: bool, late: bool) -> int | None:
        room = TEAM_LIMIT - sum(self.totals(False)) >= amount
        if inside:
            room = room and EXPERIMENT_LIMIT - sum(self.totals(True)) >= amount
        hold = Hold(
            self.experiment.team_id,
            self.experiment.pk if inside else None,
            self.model.pk,
            self.price.pk,
            purpose="machine",
            attempt=1,
            amount_nanousd=amount,
            expires_at=timezone.now() + timedelta(minutes=-1 if late else 10),
        )
        if not room:
            with pytest.raises(BudgetExceeded):
                ledger_runner.reserve(hold)
            return None
        reservation = ledger_runner.reserve(hold).reservation_id
        self.held[reservation] = (amount, inside)
        self.made.add(reservation)
        return reservation

    @rule(reservation=open_reservations)
    def send(self, reservation: int | None) -> None:
        if reservation is None:
            return
        may = reservation in self.held and reservation not in self.sent
        assert ledger_runner.mark_sent(reservation) == may
        if may:
            self.sent.add(reservation)

    @rule(target=closed_reservations, reservation=consumes(open_reservations), amount=AMOUNTS)
    def settle(self, reservation: int | None, amount: int) -> int | None:
        if reservation is None:
            return None
        closed = ledger_runner.settle(reservation, Spent(amount))
        if reservation in self.held:
            held, inside = self.held.pop(reservation)
            self.spent[reservation] = (amount, inside)
            assert closed is not None
            assert closed.outcome == "settled"
            self.overrun += max(0, amount - held)
        elif reservation in self.spent:  # the sweep was faster and booked the bound
            before, inside = self.spent[reservation]
            self.spent[reservation] = (amount, inside)
            assert closed is not None
            assert closed.outcome == "corrected"
            self.overrun += max(0, amount - before)
        else:
            assert closed is None
        return reservation

    @rule(target=closed_reservations, reservation=consumes(open_reservations))
    def give_back(self, reservation: int | None) -> int | None:
        if reservation is not None:
            closed = ledger_runner.release(reservation)
            assert (closed is not None) == (self.held.pop(reservation, None) is not None)
        return reservation

    @rule(target=closed_reservations, reservation=consumes(open_reservations))
    def lose_sight(self, reservation: int | None) -> int | None:
        if reservation is not None:
            closed = ledger_runner.mark_unknown(reservation, "no answer")
            assert (closed is not None) == (reservation in self.held)
            if closed is not None:
                self.spent[reservation] = self.held.pop(reservation)
        return reservation

    @rule(reservation=closed_reservations, amount=AMOUNTS)
    def correct(self, reservation: int | None, amount: int) -> None:
        if reservation in self.spent:
            before, inside = self.spent[reservation]
            ledger_runner.correct(reservation, amount, "invoice")
            self.spent[reservation] = (amount, inside)
            self.overrun += max(0, amount - before)

    @rule()
    def sweep(self) -> None:
        for closed in ledger_runner.sweep():
            if closed.reservation_id not in self.made:
                continue  # left held by an example before this one
            amount = self.held.pop(closed.reservation_id)
            assert closed.outcome == ("unknown" if closed.reservation_id in self.sent else "released")
            if closed.outcome == "unknown":
                self.spent[closed.reservation_id] = amount

    @invariant()
    def books_agree(self) -> None:
        assert selectors.ledger_balance_problems() == []
        for name, limit in (("team", TEAM_LIMIT), ("experiment", EXPERIMENT_LIMIT)):
            spent, held = self.totals(name == "experiment")
            assert spent + held <= limit + self.overrun
            period = BudgetPeriod.objects.filter(budget=self.budgets[name]).first()
            if period is not None:
                assert (period.spent_nanousd, period.held_nanousd) == (spent, held)
        ours = Reservation.objects.filter(team=self.experiment.team, state="held")
        assert set(ours.values_list("pk", flat=True)) == set(self.held)


def test_the_books_agree_with_their_model_after_every_step() -> None:
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
