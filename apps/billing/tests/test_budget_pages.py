"""Budgets on their pages: made, changed and closed by people, and both numbers of the running period."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import budget_reading, ledger_runner, services
from apps.billing.engine.days import day_of, period_end, start_of
from apps.billing.engine.ledger import Hold, Spent
from apps.billing.errors import BudgetExceeded
from apps.billing.models import Budget, BudgetPeriod
from apps.core.errors import Conflict, NotAllowed
from apps.core.tests.factories import BudgetFactory, ExperimentFactory, LanguageModelFactory, PriceFactory
from apps.core.tests.pressing import Walker

pytestmark = pytest.mark.django_db


def hold(team: Team, cents: int, **more: Any) -> Hold:
    return Hold(
        team_id=team.pk,
        experiment_id=None,
        language_model_id=LanguageModelFactory.create(team=team).pk,
        price_id=PriceFactory.create(team=team).pk,
        purpose="test",
        attempt=1,
        amount_nanousd=cents * 10**7,
        expires_at=timezone.now() + timedelta(minutes=5),
        **more,
    )


def walker(person: User, team: Team) -> Walker:
    found = Walker(person)
    found.open(reverse("budgets", args=[team.slug]))
    return found


def test_a_budget_is_made_counts_and_shows_both_numbers(team: Team, alice: User, bob: User) -> None:
    page = walker(alice, team)
    assert "No budget yet: nothing limits what is spent." in page.text
    page.press("Make budget", of=f"person:{bob.uid}", limit="2.50", period="monthly", hard="hard")
    assert "Budget: Bob" in page.text

    first = ledger_runner.reserve(hold(team, 60, person_id=bob.pk))
    ledger_runner.settle(first.reservation_id, Spent(500_000_000))  # type: ignore[union-attr]
    ledger_runner.reserve(hold(team, 75, person_id=bob.pk))
    ledger_runner.reserve(hold(team, 40, person_id=alice.pk))

    page.open(reverse("budgets", args=[team.slug]))
    row = page.main.xpath(".//tbody/tr")[0].text_content()
    assert "Bob" in row
    assert [part for part in row.replace("\u00a0", "_").split() if "$" in part or "%" in part] == [
        "$0.50",
        "$0.75",
        "$2.50",
        "50_%",
    ]
    page.follow("Bob")
    assert "Left for new calls" in page.text
    assert "$1.25" in page.text


def test_the_limit_is_changed_for_the_running_period_and_a_wrong_one_is_said_at_its_field(
    team: Team, adam: User
) -> None:
    budget = BudgetFactory.create(team=team, limit_nanousd=1_500_000_000)
    BudgetPeriod.objects.create(budget=budget, key="total", limit_nanousd=1_500_000_000)
    page = Walker(adam)
    page.open(reverse("budget", args=[team.slug, budget.uid]))
    assert page.main.xpath(".//input[@name='limit']")[0].get("value") == "1.50"

    page.press("Change limit", limit="0")
    assert page.status == 422
    page.press("Change limit", limit="0.002")

    assert BudgetPeriod.objects.get().limit_nanousd == 2_000_000
    assert "$0.002" in page.text.replace("0.0020", "0.002")


@pytest.mark.both_databases
def test_a_closed_budget_refuses_nothing_new_keeps_what_it_counted_and_makes_room_for_another(
    team: Team, alice: User
) -> None:
    budget = services.budget_create(actor=alice, team=team, limit_nanousd=10**9)
    under_way = ledger_runner.reserve(hold(team, 90))
    with pytest.raises(BudgetExceeded):
        ledger_runner.reserve(hold(team, 20))
    with pytest.raises(Conflict):
        services.budget_create(actor=alice, team=team, limit_nanousd=5)

    services.budget_close(actor=alice, budget=budget)
    ledger_runner.reserve(hold(team, 20))
    ledger_runner.settle(under_way.reservation_id, Spent(300_000_000))  # type: ignore[union-attr]

    counter = BudgetPeriod.objects.get(budget=budget)
    assert (counter.spent_nanousd, counter.held_nanousd) == (300_000_000, 0)
    again = services.budget_create(actor=alice, team=team, limit_nanousd=5)
    with pytest.raises(BudgetExceeded):
        ledger_runner.reserve(hold(team, 20))
    for press in (services.budget_close, lambda **kw: services.budget_limit_change(limit_nanousd=7, **kw)):
        with pytest.raises(Conflict, match="closed"):
            press(actor=alice, budget=budget)
    page = walker(alice, team)
    (closed,) = page.main.xpath(".//caption[contains(., 'Closed budgets')]/..//tbody/tr")
    assert "The whole team" in closed.text_content()
    assert Budget.objects.filter(closed_at=None).get() == again


def test_a_closed_budget_that_counted_nothing_is_not_listed(team: Team, alice: User) -> None:
    page = walker(alice, team)
    page.press("Make budget", of="team", limit="1", period="daily", hard="soft")
    page.press("Close budget")

    assert "Closed budgets" not in page.text
    assert "No budget yet" in page.text
    assert Budget.objects.get().closed_at is not None


@pytest.mark.parametrize("name", ["bob", "vera"])
def test_others_see_budgets_and_change_none(people: dict[str, User], team: Team, client: Client, name: str) -> None:
    budget = BudgetFactory.create(team=team)
    client.force_login(people[name])
    address = reverse("budget", args=[team.slug, budget.uid])
    text = client.get(address).content.decode()

    assert "$5.00" in text
    assert "Close budget" not in text
    assert client.post(address, {"limit": "9"}).status_code == 403
    with pytest.raises(NotAllowed):
        services.budget_close(actor=people[name], budget=budget)
    budget.refresh_from_db()
    assert (budget.limit_nanousd, budget.closed_at) == (5_000_000_000, None)


def test_what_is_another_team_s_cannot_be_named(team: Team, other_team: Team, alice: User, client: Client) -> None:
    client.force_login(alice)
    theirs = ExperimentFactory.create(team=other_team)
    data = {"of": f"experiment:{theirs.uid}", "limit": "1", "period": "total", "hard": "hard"}

    assert client.post(reverse("budgets", args=[team.slug]), data).status_code == 422
    assert Budget.objects.count() == 0


def test_the_running_period_is_that_of_the_team_s_own_calendar(team: Team) -> None:
    """Half past eleven in London is the next day, and the next month, in Tokyo."""
    team.time_zone = "Asia/Tokyo"
    team.save(update_fields=["time_zone"])
    now = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    daily = BudgetFactory.create(team=team, period="daily")
    monthly = BudgetFactory.create(team=team, period="monthly")
    for budget, key, spent in ((daily, "2026-10-31", 5), (daily, "2026-11-01", 7), (monthly, "2026-11", 9)):
        BudgetPeriod.objects.create(budget=budget, key=key, limit_nanousd=10, spent_nanousd=spent)

    rows = {row.budget.period: row for row in budget_reading.budget_rows([daily, monthly], now=now)}

    assert (rows["daily"].spent_nanousd, rows["monthly"].spent_nanousd) == (7, 9)
    assert rows["daily"].ends_at == datetime(2026, 11, 1, 15, tzinfo=UTC)
    assert (rows["daily"].period_text, rows["monthly"].period_text) == ("1 November 2026", "November 2026")


def test_a_day_of_a_clock_change_ends_when_its_clock_says_so() -> None:
    berlin, autumn = "Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC)
    start, end = start_of(day_of(autumn, berlin), berlin), period_end("daily", autumn, berlin)
    assert (start, end) == (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC))
    # Santiago's clocks skip midnight on 6 September 2026: that day begins at one o'clock.
    skipped = start_of(datetime(2026, 9, 6).date(), "America/Santiago")  # noqa: DTZ001
    assert skipped == datetime(2026, 9, 6, 4, tzinfo=UTC)
    assert day_of(skipped, "America/Santiago").day == 6
    assert day_of(skipped - timedelta(seconds=1), "America/Santiago").day == 5
