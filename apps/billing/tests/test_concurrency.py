"""Four processes spend against one budget: not one call too many, not one too few."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.billing import ledger_runner, selectors
from apps.billing.engine.ledger import Hold, Spent
from apps.billing.errors import BudgetExceeded
from apps.billing.models import BudgetPeriod, LedgerEntry, Reservation
from apps.billing.tests.processes import start_process
from apps.core.tests.factories import BudgetFactory, ExperimentFactory, LanguageModelFactory, PriceFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

CENT = 10_000_000
DOLLAR = 100 * CENT
PROCESSES = 4


def hold_of(team_id: int, experiment_id: int, model_id: int, price_id: int) -> Hold:
    return Hold(
        team_id=team_id,
        experiment_id=experiment_id,
        language_model_id=model_id,
        price_id=price_id,
        purpose="one cent",
        attempt=1,
        amount_nanousd=CENT,
        expires_at=timezone.now() + timedelta(minutes=5),
    )


def spend(calls: int, team_id: int, experiment_id: int, model_id: int, price_id: int) -> None:
    for _ in range(calls):
        try:
            reserved = ledger_runner.reserve(hold_of(team_id, experiment_id, model_id, price_id))
        except BudgetExceeded:
            continue
        ledger_runner.mark_sent(reserved.reservation_id)
        ledger_runner.settle(reserved.reservation_id, Spent(CENT))


def test_a_thousand_calls_of_one_cent_against_five_dollars_admit_five_hundred() -> None:
    """Two budgets cover each call, so that the order of locks matters too; the tighter one decides."""
    experiment = ExperimentFactory.create()
    team = experiment.team
    BudgetFactory.create(team=team, experiment=experiment, limit_nanousd=5 * DOLLAR)
    BudgetFactory.create(team=team, period="daily", limit_nanousd=50 * DOLLAR)
    model, price = LanguageModelFactory.create(team=team), PriceFactory.create()
    workers = [
        start_process(spend, 1000 // PROCESSES, team.pk, experiment.pk, model.pk, price.pk) for _ in range(PROCESSES)
    ]
    looks = 0
    while any(worker.is_alive() for worker in workers):
        for period in BudgetPeriod.objects.all():
            assert period.spent_nanousd + period.held_nanousd <= period.limit_nanousd
            looks += 1
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    assert looks > 100
    assert LedgerEntry.objects.count() == Reservation.objects.filter(state="settled").count() == 500
    assert selectors.spent_and_held(team) == selectors.SpentAndHeld(5 * DOLLAR, 0, assumed=True)
    assert (
        list(BudgetPeriod.objects.order_by("id").values_list("spent_nanousd", "held_nanousd")) == [(5 * DOLLAR, 0)] * 2
    )
    assert selectors.ledger_balance_problems() == []
