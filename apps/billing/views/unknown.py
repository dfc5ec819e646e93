"""Attempts whose cost nobody knows, and their correction."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.billing import services, unknown_reading
from apps.billing.forms import CorrectionForm
from apps.billing.views.usage import tabs
from apps.core.errors import ApplicationError
from apps.core.pages import page_number, render_page
from apps.core.refusals import refuse_in_form

PAGE_SIZE = 50


@require_safe
@team_page("view")
def unknown(request: HttpRequest, team: Team) -> HttpResponse:
    """Every attempt that was booked at its bound; those that nobody corrected first."""
    page = Paginator(unknown_reading.unknown_entries(team), PAGE_SIZE).get_page(page_number(request))
    context = {
        "tabs": tabs(request, team),
        "page_obj": page,
        "rows": unknown_reading.unknown_rows(page),
        "columns": [
            {"label": _("When")},
            {"label": _("Model")},
            {"label": _("Evidence")},
            {"label": _("Booked"), "numeric": True, "help": _("The most that the attempt can have cost.")},
            {"label": _("Corrected by"), "numeric": True},
            {"label": _("Now"), "numeric": True, "help": _("What the books show: both entries together.")},
        ],
    }
    return render_page(request, "billing/unknown.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def unknown_attempt(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """One attempt with all its entries; a POST adds the one that corrects it."""
    action = "manage" if request.method == "POST" else "view"
    row = unknown_reading.unknown_row(user=request.user, team=team, uid=uid, action=action)
    form = CorrectionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            services.reservation_correct(
                actor=request.user,
                reservation=row.reservation,
                amount_nanousd=form.amount_nanousd(),
                evidence=form.cleaned_data["evidence"],
            )
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            messages.success(request, _("The correction is booked as a second entry."))
            return redirect("usage_unknown_attempt", team=team.slug, uid=uid)
    context = {
        "row": row,
        "form": form,
        "may_manage": may(user=request.user, team=team, action="manage"),
        "crumbs": [
            {"label": _("Usage"), "url": reverse("usage", args=[team.slug])},
            {"label": _("Unknown costs"), "url": reverse("usage_unknown", args=[team.slug])},
        ],
        "columns": [
            {"label": _("When")},
            {"label": _("Entry")},
            {"label": _("Evidence")},
            {"label": _("Amount"), "numeric": True},
        ],
    }
    return render_page(request, "billing/unknown_attempt.html", context, status=422 if form.errors else 200)
