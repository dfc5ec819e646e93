"""Adding models of providers. It asks billing for prices, which apps/providers, lying below, cannot."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.providers import selectors
from apps.providers.forms import CommercialModelForm
from apps.providers.models import LanguageModel
from apps.providers.services.commercial import language_model_add_commercial
from apps.training.model_pages.prices import is_priced, published_context_length


@require_POST
@team_page("edit")
def model_commercial(request: HttpRequest, team: Team) -> HttpResponse:
    """Add a model that the list of its provider offers."""
    provider, _colon, name = request.POST.get("key", "").partition(":")
    try:
        model = language_model_add_commercial(
            actor=request.user,
            team=team,
            provider=provider,
            provider_model=name,
        )
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        messages.success(request, _("%(name)s is added.") % {"name": model.name})
    return redirect("models", team=team.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def model_commercial_new(request: HttpRequest, team: Team) -> HttpResponse:
    """Any other model of a provider or of a compatible server, by its name there."""
    keys = {str(key.uid): key for key in selectors.live_keys(user=request.user, team=team)}
    choices = [(uid, f"{key.name} · {key.get_provider_display()}") for uid, key in keys.items()]
    form = CommercialModelForm(request.POST if request.method == "POST" else None, keys=choices)
    if request.method == "POST" and form.is_valid():
        key, name = keys[form.cleaned_data["key"]], form.cleaned_data["provider_model"]
        try:
            model = language_model_add_commercial(
                actor=request.user,
                team=team,
                provider=key.provider,
                provider_model=name,
                key=key,
                context_length=form.cleaned_data["context_length"] or published_context_length(key.provider, name),
            )
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            return _added(request, team, model)
    context: dict[str, Any] = {
        "form": form,
        "keys": choices,
        "crumbs": [{"label": _("Models"), "url": reverse("models", args=[team.slug])}],
    }
    return render_page(request, "providers/model_commercial.html", context, status=422 if form.is_bound else 200)


def _added(request: HttpRequest, team: Team, model: LanguageModel) -> HttpResponse:
    """On to the model, or first to its price where it has none."""
    if is_priced(model):
        messages.success(request, _("%(name)s is added.") % {"name": model.name})
        return redirect("model", team=team.slug, uid=model.uid)
    messages.warning(request, _("%(name)s is added. It is not called until it has a price.") % {"name": model.name})
    return redirect("model_price", team=team.slug, uid=model.uid)
