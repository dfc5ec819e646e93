"""What a team pays for the tokens of a provider's model, and for an hour of computing here: the price that holds, those
before it, and a new one.
"""

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
from apps.billing.forms import LocalPriceForm, TokenPriceForm, typed
from apps.billing.views.usage import tabs
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
    initial: dict[str, Any] = {**price.texts(), "request": price.request_text}
    for n, (tokens, texts) in enumerate(price.steps, 1):
        initial |= {f"above_{n}": tokens, **{f"{kind}_{n}": text for kind, text in texts.items()}}
    return initial


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
            {"label": _("In, written to the cache"), "unit": unit, "numeric": True},
            {"label": _("Out"), "unit": unit, "numeric": True},
            {"label": _("Where it comes from")},
        ],
        "crumbs": [
            {"label": _("Models"), "url": reverse("models", args=[team.slug])},
            {"label": found.name, "url": reverse("model", args=[team.slug, found.uid])},
        ],
    }
    return render_page(request, "billing/model_price.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def local_price(request: HttpRequest, team: Team) -> HttpResponse:
    """What an hour of computing here costs; a POST sets another price from now or from a later day on."""
    prices = price_lists.local_prices(team)
    if request.method != "POST":
        now = {} if prices.now.assumed else {"nanousd_per_hour": typed(prices.now.nanousd_per_hour or 0)}
        return _local_page(request, team, prices, LocalPriceForm(initial=now))
    require(team, request.user, "manage")
    form = LocalPriceForm(request.POST)
    if form.is_valid():
        try:
            services.local_price_create(actor=request.user, team=team, **form.cleaned_data)
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            messages.success(request, _("The price is set. What was called before stays as it was booked."))
            return redirect("local_price", team=team.slug)
    return _local_page(request, team, prices, form)


def _local_page(
    request: HttpRequest, team: Team, prices: price_lists.LocalPrices, form: LocalPriceForm
) -> HttpResponse:
    context = {
        "prices": prices,
        "rows": [(price, price_lists.dollars_per_hour(price), state) for price, state in prices.own],
        "form": form,
        "may_manage": may(user=request.user, team=team, action="manage"),
        "columns": [
            {"label": _("From")},
            {"label": _("State")},
            {"label": _("An hour"), "unit": "USD", "numeric": True},
            {"label": _("Where it comes from")},
        ],
        "tabs": tabs(request, team),
    }
    return render_page(request, "billing/local_price.html", context, status=422 if form.errors else 200)
