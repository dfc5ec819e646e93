"""What a team pays for the tokens of a provider's model: the price that holds, those before it, and a new one."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.billing import price_lists, services
from apps.billing.forms import TokenPriceForm
from apps.core.access import require
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form
from apps.providers.models import LanguageModel
from apps.providers.selectors import language_model


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def model_price(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The prices of one model; a POST sets another from now or from a later day on."""
    if request.method == "POST":
        require(team, request.user, "manage")
    found = language_model(user=request.user, team=team, uid=uid)
    prices = price_lists.prices_of_model(found)
    form = TokenPriceForm(request.POST if request.method == "POST" else None, initial=_typed(prices.now))
    if request.method == "POST" and form.is_valid():
        try:
            services.token_price_create(
                actor=request.user,
                team=team,
                model=found,
                rates=form.rates(),
                source=form.cleaned_data["source"],
                first_day=form.cleaned_data["first_day"],
            )
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            messages.success(request, _("The price is set. What was called before stays as it was booked."))
            return redirect("model_price", team=team.slug, uid=found.uid)
    return _page(request, team, found, prices, form)


def _typed(price: price_lists.ShownPrice | None) -> dict[str, Any]:
    """The amounts that hold now, to be changed."""
    if price is None:
        return {}
    cached = price.cached_input
    return {
        "input": price.input.text,
        "cached_input": cached.text if cached is not None else "",
        "output": price.output.text,
    }


def _page(
    request: HttpRequest,
    team: Team,
    found: LanguageModel,
    prices: price_lists.ModelPrices,
    form: TokenPriceForm,
) -> HttpResponse:
    unit = _("$/M tokens")
    context = {
        "model": found,
        "prices": prices,
        "form": form,
        "may_manage": may(user=request.user, team=team, action="manage"),
        "columns": [
            {"label": _("From")},
            {"label": _("State")},
            {"label": _("In"), "unit": unit, "numeric": True},
            {"label": _("In, from the cache"), "unit": unit, "numeric": True},
            {"label": _("Out"), "unit": unit, "numeric": True},
            {"label": _("Where it comes from")},
        ],
        "crumbs": [
            {"label": _("Models"), "url": reverse("models", args=[team.slug])},
            {"label": found.name, "url": reverse("model", args=[team.slug, found.uid])},
        ],
    }
    return render_page(request, "billing/model_price.html", context, status=422 if form.errors else 200)
