"""Operators can look at all money and change none of it by hand."""

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing import models
from apps.billing.models import Reservation
from apps.core.tests.factories import BudgetFactory, LanguageModelFactory, PriceFactory, entry_of

pytestmark = pytest.mark.django_db
ALL = [
    models.Price,
    models.Budget,
    models.BudgetPeriod,
    models.Reservation,
    models.ReservationHold,
    models.LedgerEntry,
    models.CachedResponse,
]


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.com", "x"))
    return client


@pytest.fixture
def rows(team: Team) -> None:
    """One row of each kind, so that each list shows something."""
    budget, price, model = (
        BudgetFactory.create(team=team),
        PriceFactory.create(),
        LanguageModelFactory.create(team=team),
    )
    period = budget.periods.create(key="total", limit_nanousd=5, spent_nanousd=1)
    reservation = Reservation.objects.create(
        team=team, language_model=model, price=price, purpose="p", held_nanousd=2, expires_at=price.valid_from
    )
    reservation.holds.create(budget_period=period)
    entry_of(reservation)
    team.cached_responses.create(key="k", result={}, cost_nanousd=1)


@pytest.mark.parametrize("model", ALL)
def test_each_list_opens_with_a_row_and_can_be_searched(operator: Client, rows: None, model: type) -> None:
    listed = reverse(f"admin:billing_{model._meta.model_name}_changelist")
    page = operator.get(listed)
    assert page.status_code == 200
    assert page.context["cl"].result_count == 1
    assert operator.get(listed, {"q": "nothing like it"}).context["cl"].result_count == 0


@pytest.mark.parametrize("model", ALL)
def test_each_row_opens_and_nothing_can_be_added_changed_or_deleted(operator: Client, rows: None, model: type) -> None:
    row = model._default_manager.get()
    assert operator.get(reverse(f"admin:billing_{model._meta.model_name}_change", args=[row.pk])).status_code == 200
    request = RequestFactory().get("/")
    request.user = User.objects.get(email="operator@example.com")
    registered = admin.site._registry[model]
    assert not registered.has_add_permission(request)
    assert registered.has_change_permission(request, row) == (model is models.Budget)
    assert not registered.has_delete_permission(request, row)


def test_an_operator_changes_a_budgets_limit_and_nothing_else_of_it(operator: Client, rows: None) -> None:
    budget = models.Budget.objects.get()
    posted = {
        "limit_nanousd": 7_000,
        "period": "daily",
        "periods-TOTAL_FORMS": 0,
        "periods-INITIAL_FORMS": 0,
    }
    response = operator.post(reverse("admin:billing_budget_change", args=[budget.pk]), posted)
    assert response.status_code == 302
    changed = models.Budget.objects.get()
    assert (changed.limit_nanousd, changed.period) == (7_000, budget.period)
    assert changed.periods.get().limit_nanousd == 7_000


def test_an_operator_can_close_what_dead_processes_left_open(operator: Client, rows: None) -> None:
    # Holder unknown, but past its time: the sweep closes it.
    models.LedgerEntry.objects.all().delete()
    models.BudgetPeriod.objects.update(spent_nanousd=0, held_nanousd=2)
    listed = reverse("admin:billing_reservation_changelist")
    chosen = {"action": "sweep", "_selected_action": [Reservation.objects.get().pk]}
    assert operator.post(listed, chosen).status_code == 302
    assert Reservation.objects.get().state == "released"
    assert models.BudgetPeriod.objects.get().held_nanousd == 0
