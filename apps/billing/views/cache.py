"""The response cache: what it saved, what it holds, and emptying it."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.billing import cache_reading, services, usage_reading
from apps.billing.views.usage import chosen_days, tabs
from apps.core.pages import render_page


@require_safe
@team_page("view")
def cache(request: HttpRequest, team: Team) -> HttpResponse:
    """How often an answer was there already, and which answers are kept."""
    days, form = chosen_days(request, team)
    whole, parts = cache_reading.stored_answers(team)
    context = {
        "tabs": tabs(request, team),
        "form": form,
        "days": days,
        "sums": usage_reading.totals(team, days),
        "whole": whole,
        "parts": parts,
        "kept_days": settings.RESPONSE_CACHE_DAYS,
        "may_manage": may(user=request.user, team=team, action="manage"),
        "columns": [
            {"label": _("Model")},
            {"label": _("Answers"), "numeric": True},
            {"label": _("Size"), "numeric": True},
            {"label": _("Oldest")},
            {"label": _("Actions"), "hidden_label": True},
        ],
    }
    return render_page(request, "billing/cache.html", context, status=422 if form.errors else 200)


@require_POST
@team_page("manage")
def cache_purge(request: HttpRequest, team: Team) -> HttpResponse:
    """Delete the stored answers of the model that `model` names, or all."""
    model = cache_reading.model_named(user=request.user, team=team, uid=request.POST.get("model", ""))
    count = services.cache_purge(actor=request.user, team=team, model=model)
    said = ngettext("%(n)d stored answer is deleted.", "%(n)d stored answers are deleted.", count)
    messages.success(request, said % {"n": count})
    return redirect("usage_cache", team=team.slug)
