"""Settings of a team: where its alerts go, and how each message fared."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.billing import alert_reading, alert_texts, services
from apps.billing.forms import AlertDestinationForm
from apps.core.access import require
from apps.core.errors import ApplicationError
from apps.core.pages import page_number, render_page
from apps.core.refusals import refuse_in_form, refuse_on_page

PAGE_SIZE = 50


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def alerts(request: HttpRequest, team: Team) -> HttpResponse:
    """Places and messages; a POST adds a place. A webhook's secret stands in the answer to it and nowhere else."""
    if request.method != "POST":
        return _page(request, team, _form())
    require(team, request.user, "manage")
    form = _form(request.POST)
    if not form.is_valid():
        return _page(request, team, form, status=422)
    try:
        made, secret = services.alert_destination_create(actor=request.user, team=team, **form.cleaned_data)
    except ApplicationError as error:
        refuse_in_form(form, error)
        return _page(request, team, form, status=422)
    if secret:
        return _page(request, team, _form(), made=made, secret=secret)
    messages.success(request, _("Alerts go to %(place)s as well.") % {"place": alert_reading.place_text(made)})
    return redirect("alerts", team=team.slug)


def _form(data: Any = None) -> AlertDestinationForm:
    return AlertDestinationForm(data, mail_available=settings.MAIL_AVAILABLE)


def _page(
    request: HttpRequest, team: Team, form: AlertDestinationForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    page = Paginator(alert_reading.deliveries(user=request.user, team=team), PAGE_SIZE).get_page(page_number(request))
    newest = alert_reading.alerts(user=request.user, team=team)[: alert_reading.NEWEST]
    context = {
        "places": alert_reading.destinations(user=request.user, team=team),
        "place_columns": [
            {"label": _("Where")},
            {"label": _("Kind")},
            {"label": _("Last message")},
            {"label": _("Actions"), "hidden_label": True},
        ],
        "alerts": [(each, alert_texts.title_of(each), alert_texts.text_of(each)) for each in newest],
        "alert_columns": [{"label": _("What")}, {"label": _("Figures then")}, {"label": _("When")}],
        "newest": alert_reading.NEWEST,
        "page_obj": page,
        "rows": [(each, alert_texts.title_of(each.alert) if each.alert else _("A test")) for each in page],
        "columns": [
            {"label": _("Message")},
            {"label": _("State")},
            {"label": _("To")},
            {"label": _("Tries"), "numeric": True},
            {"label": _("When")},
        ],
        "mail_available": settings.MAIL_AVAILABLE,
        "may_manage": may(user=request.user, team=team, action="manage"),
        "form": form,
        **more,
    }
    return render_page(request, "billing/alerts.html", context, status=status, parts=("log",))


@require_POST
@team_page("view")
def alert_test(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    place = alert_reading.destination(user=request.user, team=team, uid=uid)
    try:
        count = services.alert_destination_test(actor=request.user, destination=place)
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        said = ngettext("%(n)d test message is on its way.", "%(n)d test messages are on their way.", count)
        messages.success(request, said % {"n": count})
    return redirect("alerts", team=team.slug)


@require_POST
@team_page("view")
def alert_remove(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    place = alert_reading.destination(user=request.user, team=team, uid=uid)
    try:
        services.alert_destination_remove(actor=request.user, destination=place)
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        said = _("Alerts no longer go to %(place)s.") % {"place": alert_reading.place_text(place)}
        messages.success(request, said)
    return redirect("alerts", team=team.slug)
