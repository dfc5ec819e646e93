"""Budgets and prices: who may set them, and which price holds."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import holders, selectors, services
from apps.billing.errors import UnknownPrice
from apps.billing.models import Budget, BudgetPeriod, Price
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent
from apps.core.tests.at_once import second_of_two
from apps.core.tests.factories import BudgetFactory, ExperimentFactory, PriceFactory

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.mark.parametrize("name", ["alice", "adam"])
def test_owner_and_admin_may_set_a_budget(team: Team, people: dict[str, User], name: str) -> None:
    budget = services.budget_create(actor=people[name], team=team, limit_nanousd=5, period="monthly")
    assert (budget.team, budget.limit_nanousd, budget.period) == (team, 5, "monthly")
    event = AuditEvent.objects.get(verb="budget.created")
    assert (event.actor, event.facts["limit_nanousd"]) == (people[name], 5)


@pytest.mark.parametrize("name", ["bob", "vera", "rita", "charlie"])
def test_nobody_else_may_set_a_budget(team: Team, people: dict[str, User], name: str) -> None:
    with pytest.raises(NotAllowed):
        services.budget_create(actor=people[name], team=team, limit_nanousd=5)
    assert Budget.objects.count() == 0
    assert AuditEvent.objects.count() == 0


def test_a_budget_needs_a_limit_and_is_made_once(team: Team, alice: User) -> None:
    with pytest.raises(ApplicationError, match="above zero"):
        services.budget_create(actor=alice, team=team, limit_nanousd=0)
    services.budget_create(actor=alice, team=team, limit_nanousd=5)
    with pytest.raises(Conflict, match="already"):
        services.budget_create(actor=alice, team=team, limit_nanousd=6)


def test_a_budget_is_not_made_for_another_team_s_experiment(team: Team, alice: User, other_team: Team) -> None:
    theirs = ExperimentFactory.create(team=other_team)
    with pytest.raises(ApplicationError, match="another team"):
        services.budget_create(actor=alice, team=team, limit_nanousd=5, experiment=theirs)


def test_the_local_price_is_made_once_and_marked_as_assumed(team: Team, settings: Any) -> None:
    settings.LOCAL_NANOUSD_PER_HOUR = 77
    price = services.prices_ensure_local(actor=None, team=team)
    assert services.prices_ensure_local(actor=None, team=team) == price
    assert (price.nanousd_per_hour, price.assumed, price.served_name) == (77, True, "*")


def test_the_nearest_and_latest_price_holds(team: Team, other_team: Team) -> None:
    def price(days: int, per_hour: int, **more: Any) -> Price:
        valid_from = timezone.now() + timedelta(days=days)
        return PriceFactory.create(valid_from=valid_from, nanousd_per_hour=per_hour, **more)

    def holds(served_name: str = "small", kind: str = "local") -> int | None:
        return selectors.price_for(team.pk, kind=kind, served_name=served_name).nanousd_per_hour

    price(-9, 1)
    assert holds() == 1
    price(-8, 2)
    price(+1, 3)
    price(-1, 4, team=other_team)
    assert holds() == 2
    price(-9, 5, team=team)
    assert holds() == 5
    price(-9, 6, served_name="small")
    assert holds() == 6
    assert holds("other") == 5


def test_the_price_of_local_computing_says_nothing_about_a_commercial_model(team: Team) -> None:
    PriceFactory.create()
    with pytest.raises(UnknownPrice, match="gpt-9"):
        selectors.price_for(team.pk, kind="commercial", served_name="gpt-9")


def test_budgets_come_with_their_counters(team: Team) -> None:
    budget = BudgetFactory.create(team=team)
    budget.periods.create(key="2026-10", limit_nanousd=1)
    newest = budget.periods.create(key="2026-11", limit_nanousd=1)
    BudgetFactory.create()
    (found,) = selectors.budgets_with_periods(team)
    assert (found.budget, found.periods[0]) == (budget, newest)


def test_only_a_process_of_this_machine_can_be_known_to_be_dead() -> None:
    here = holders.this_process()
    host, pid, start = here.rsplit(":", 2)
    assert not holders.is_dead(here)
    assert holders.is_dead(f"{host}:{pid}:{float(start) - 60}")  # the number was given to another process
    assert holders.is_dead(f"{host}:{2**22 + 1}:{start}")
    assert not holders.is_dead(f"elsewhere:{2**22 + 1}:{start}")
    assert not holders.is_dead("unnamed")


def test_a_changed_limit_holds_for_the_running_period_and_is_audited(team: Team, alice: User) -> None:
    budget = services.budget_create(actor=alice, team=team, limit_nanousd=1_000)
    period = BudgetPeriod.objects.create(budget=budget, key="total", limit_nanousd=1_000, spent_nanousd=900)

    services.budget_limit_change(actor=alice, budget=budget, limit_nanousd=5_000)

    period.refresh_from_db()
    assert (budget.limit_nanousd, period.limit_nanousd, period.spent_nanousd) == (5_000, 5_000, 900)
    assert AuditEvent.objects.get(verb="budget.limit_changed").facts == {"before": 1_000, "limit_nanousd": 5_000}


def test_only_those_who_manage_the_team_change_a_limit(team: Team, alice: User, bob: User) -> None:
    budget = services.budget_create(actor=alice, team=team, limit_nanousd=1_000)
    with pytest.raises(NotAllowed):
        services.budget_limit_change(actor=bob, budget=budget, limit_nanousd=5_000)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_set_the_same_budget_at_once_the_second_is_told_so(team: Team) -> None:
    def create() -> Budget:
        return services.budget_create(actor=None, team=team, limit_nanousd=5)

    with pytest.raises(Conflict, match="already a budget"):
        second_of_two(create, create)
    assert Budget.objects.count() == 1
