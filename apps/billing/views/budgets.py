"""Settings of a team: its budgets."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.billing import alert_reading, alert_texts, budget_reading, services
from apps.billing.forms import BudgetForm, LimitForm, typed
from apps.billing.models import Budget
from apps.core.access import require
from apps.core.errors import ApplicationError
from apps.core.pages import page_number, render_page
from apps.core.refusals import refuse_in_form, refuse_on_page

PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def budgets(request: HttpRequest, team: Team) -> HttpResponse:
    """Every budget with what is spent and held; a POST makes one."""
    if request.method == "POST":
        require(team, request.user, "manage")
    manages = may(user=request.user, team=team, action="manage")
    owners = budget_reading.owner_choices(user=request.user, team=team) if manages else []
    form = BudgetForm(request.POST if request.method == "POST" else None, owners=owners)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.budget_create(actor=request.user, team=team, **_arguments(request, team, form))
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            messages.success(request, _("The budget is made. It counts what is called from now on."))
            return redirect("budget", team=team.slug, uid=made.uid)
    return _list_page(request, team, form, manages=manages)


def _arguments(request: HttpRequest, team: Team, form: BudgetForm) -> dict[str, Any]:
    given = form.cleaned_data
    return {
        "period": given["period"],
        "limit_nanousd": form.limit_nanousd(),
        "hard": given["hard"] == "hard",
        **budget_reading.owner_of(user=request.user, team=team, named=given["of"]),
    }


def _list_page(request: HttpRequest, team: Team, form: BudgetForm, *, manages: bool) -> HttpResponse:
    page = Paginator(budget_reading.budgets(user=request.user, team=team), PAGE_SIZE).get_page(page_number(request))
    closed = budget_reading.closed_budgets(user=request.user, team=team)[:PAGE_SIZE]
    context = {
        "page_obj": page,
        "rows": budget_reading.budget_rows(page),
        "closed": budget_reading.budget_rows(closed),
        "columns": [
            {"label": _("Whose")},
            {"label": _("Period")},
            {"label": _("Spent"), "numeric": True},
            {"label": _("Held"), "numeric": True},
            {"label": _("Limit"), "numeric": True},
            {"label": _("Used")},
            {"label": _("Ends")},
        ],
        "closed_columns": [
            {"label": _("Whose")},
            {"label": _("Period")},
            {"label": _("Limit"), "numeric": True},
            {"label": _("Closed")},
        ],
        "may_manage": manages,
        "form": form,
    }
    return render_page(request, "billing/budgets.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def budget(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """One budget with its earlier periods; a POST sets another limit."""
    action = "manage" if request.method == "POST" else "view"
    found = budget_reading.budget(user=request.user, team=team, uid=uid, action=action)
    form = LimitForm(request.POST if request.method == "POST" else None, initial={"limit": typed(found.limit_nanousd)})
    if request.method == "POST" and form.is_valid():
        try:
            services.budget_limit_change(actor=request.user, budget=found, limit_nanousd=form.limit_nanousd())
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            messages.success(request, _("The limit is changed, for the running period too."))
            return redirect("budget", team=team.slug, uid=found.uid)
    return _budget_page(request, team, found, form)


def _budget_page(request: HttpRequest, team: Team, found: Budget, form: LimitForm) -> HttpResponse:
    page = Paginator(budget_reading.periods_of(found), PAGE_SIZE).get_page(page_number(request))
    told = alert_reading.alerts(user=request.user, team=team, about=found)[: alert_reading.NEWEST]
    context = {
        "row": budget_reading.budget_rows([found])[0],
        "kind": budget_reading.kind_of(found),
        "page_obj": page,
        "periods": [(budget_reading.period_text(each.key), each) for each in page],
        "columns": [
            {"label": _("Period")},
            {"label": _("Spent"), "numeric": True},
            {"label": _("Held"), "numeric": True},
            {"label": _("Limit"), "numeric": True},
        ],
        "alerts": [(each, alert_texts.title_of(each), alert_texts.text_of(each)) for each in told],
        "alert_columns": [{"label": _("What")}, {"label": _("Figures then")}, {"label": _("When")}],
        "crumbs": [{"label": _("Budgets"), "url": reverse("budgets", args=[team.slug])}],
        "changeable": found.closed_at is None and may(user=request.user, team=team, action="manage"),
        "form": form,
    }
    return render_page(request, "billing/budget.html", context, status=422 if form.errors else 200)


@require_POST
@team_page("view")
def budget_close(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = budget_reading.budget(user=request.user, team=team, uid=uid, action="manage")
    try:
        services.budget_close(actor=request.user, budget=found)
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        messages.success(request, _("The budget is closed. What it counted stays readable."))
    return redirect("budgets", team=team.slug)
