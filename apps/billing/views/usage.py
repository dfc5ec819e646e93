"""What the team spent: by day, model, experiment, person and API key, with a file of it."""

import csv
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.billing import selectors, unknown_reading, usage_reading
from apps.billing.charts import spending_chart
from apps.billing.forms import DaysForm
from apps.billing.usage_reading import Days, Sums
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form
from apps.experiments.engine.intake.problems import formula_safe

_CSV_COLUMNS = (
    "day",
    "model",
    "experiment",
    "person",
    "api_key",
    "spent_usd",
    "saved_by_cache_usd",
    "calls",
    "answered_from_cache",
    "tokens_in",
    "tokens_out",
    "assumed_price",
)


@require_safe
@team_page("view")
def usage(request: HttpRequest, team: Team) -> HttpResponse:
    """A range of days, divided by one thing; nothing of it is stored anywhere but in the ledger."""
    days, form = chosen_days(request, team)
    by = request.GET.get("by", "model")
    by = by if by in usage_reading.DIMENSIONS else "model"
    found = usage_reading.usage(team, days, by=by)
    heads = {"model": _("Model"), "experiment": _("Experiment"), "person": _("Person"), "api_key": _("API key")}
    context = {
        "found": found,
        "by": by,
        "form": form,
        "named": _named(request, form),
        "by_tabs": _by_tabs(request, by),
        "csv_url": f"{reverse('usage_csv', args=[team.slug])}?{_query(request)}",
        "tabs": tabs(request, team),
        "chart": spending_chart(found),
        "held_nanousd": selectors.held_by(team),
        "forecast": usage_reading.forecast(team) if _named(request, form) == "month" else None,
        "empty": not found.total.calls and not usage_reading.has_entries(team),
        "columns": [
            {"label": heads[by]},
            {"label": _("Spent"), "numeric": True},
            {"label": _("Saved by the cache"), "numeric": True},
            {"label": _("Calls"), "numeric": True},
            {"label": _("From the cache"), "numeric": True},
            {"label": _("Tokens in"), "numeric": True},
            {"label": _("Tokens out"), "numeric": True},
        ],
    }
    return render_page(request, "billing/usage.html", context, status=422 if form.errors else 200)


def chosen_days(request: HttpRequest, team: Team) -> tuple[Days, DaysForm]:
    """The days that are asked for; this month where what is asked for cannot be, which the form then says."""
    form = DaysForm(request.GET if "range" in request.GET else None, initial={"range": "month"})
    if form.is_bound and form.is_valid():
        given = form.cleaned_data
        try:
            found = usage_reading.days_of(
                team, named=given["range"] or "month", first=given["first"], last=given["last"]
            )
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            return found, form
    return usage_reading.days_of(team), form


def _named(request: HttpRequest, form: DaysForm) -> str:
    return (form.is_bound and not form.errors and form.cleaned_data["range"]) or "month"


def _query(request: HttpRequest, **more: str) -> str:
    query = request.GET.copy()
    for name, value in more.items():
        query[name] = value
    return query.urlencode()


def _by_tabs(request: HttpRequest, by: str) -> list[dict[str, Any]]:
    labels = {
        "model": _("By model"),
        "experiment": _("By experiment"),
        "person": _("By person"),
        "api_key": _("By API key"),
    }
    return [
        {"label": label, "url": f"?{_query(request, by=name)}", "current": name == by} for name, label in labels.items()
    ]


def tabs(request: HttpRequest, team: Team) -> list[dict[str, Any]]:
    """The pages about what was spent."""
    pages = [
        (_("Spending"), "usage", None),
        (_("Unknown costs"), "usage_unknown", unknown_reading.uncorrected(team).count() or None),
        (_("Response cache"), "usage_cache", None),
        (_("Price of local computing"), "local_price", None),
    ]
    return [
        {"label": label, "url": url, "current": request.path == url, "count": count}
        for label, url, count in ((label, reverse(name, args=[team.slug]), count) for label, name, count in pages)
    ]


@require_safe
@team_page("view")
def usage_csv(request: HttpRequest, team: Team) -> HttpResponse:
    """The same range, divided by everything at once: one line for each day, model, experiment, person and API key."""
    days, form = chosen_days(request, team)
    if form.errors:
        return HttpResponse(
            " ".join(str(text) for texts in form.errors.values() for text in texts),
            status=422,
            content_type="text/plain; charset=utf-8",
        )
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"usage-{team.slug}-{days.first}-{days.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(response)
    writer.writerow(_CSV_COLUMNS)
    for line in usage_reading.lines(team, days):
        names = map(formula_safe, (line.model, line.experiment, line.person, line.api_key))
        writer.writerow([line.day.isoformat(), *names, *_figures(line.sums)])
    return response


def _figures(sums: Sums) -> list[object]:
    return [
        _dollars(sums.spent_nanousd),
        _dollars(sums.saved_nanousd),
        sums.calls,
        sums.hits,
        sums.tokens_in,
        sums.tokens_out,
        "yes" if sums.assumed else "no",
    ]


def _dollars(nanousd: int) -> str:
    """Exactly, with all nine decimals: a file is added up."""
    return f"{Decimal(nanousd).scaleb(-9):.9f}"
