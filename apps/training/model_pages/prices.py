"""What the pages of models say about prices of providers."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.billing.engine.published import published_price
from apps.billing.errors import UnknownPrice
from apps.billing.models import Price
from apps.billing.price_lists import ShownPrice, Wanted, prices_shown
from apps.billing.prices_now import prices_now
from apps.billing.selectors import price_of
from apps.providers import entries, selectors
from apps.providers.models import LanguageModel, Provider


def is_priced(model: LanguageModel) -> bool:
    """Whether a call of the model could be booked: its provider publishes a price, or the team has set one."""
    try:
        price_of(model)
    except UnknownPrice:
        return False
    return True


def published_context_length(provider: str, provider_model: str) -> int | None:
    """How many tokens a provider's model reads, where the data of prices knows it."""
    found = published_price(provider, provider_model, timezone.now())
    return found.context_length if found is not None else None


def provider_tables(*, user: Any, team: Team) -> list[dict[str, Any]]:
    """For each provider its models, added and offered, with their prices; a compatible server only with a model."""
    models = list(
        selectors.language_models(user=user, team=team)
        .exclude(provider="")
        .select_related("provider_key")
        .order_by("name")
    )
    keys = selectors.usable_keys(user=user, team=team)
    found = {
        provider: entries.commercial_entries(
            team=team, provider=provider.value, models=models, keys=keys.get(provider.value, 0)
        )
        for provider in Provider
    }
    prices = prices_shown(team, [_wanted(entry) for listed in found.values() for entry in listed])
    return [
        {
            "name": provider.value,
            "label": provider.label,
            "subtitle": _subtitle(team, provider, keys.get(provider.value, 0)),
            "rows": [{"entry": entry, "price": prices.get(_wanted(entry).served_name)} for entry in listed],
        }
        for provider, listed in found.items()
        if listed
    ]


def shown_price(model: LanguageModel) -> ShownPrice | None:
    """What a million tokens of a provider's model costs now."""
    wanted = Wanted(model.served_name, model.provider, model.provider_model)
    return prices_shown(model.team, [wanted]).get(model.served_name)


def hour_price(model: LanguageModel) -> Price | None:
    """What an hour of computing with a model that runs here costs now, be it assumed."""
    return prices_now(model.team, [model]).get(model.pk)


def _wanted(entry: entries.ModelEntry) -> Wanted:
    served_name = entry.model.served_name if entry.model is not None else entry.provider_model
    return Wanted(served_name, entry.provider, entry.provider_model)


def _subtitle(team: Team, provider: Provider, keys: int) -> str:
    if not team.text_may_leave and provider != Provider.COMPATIBLE:
        return _("This team lets no text leave to other companies.")
    if not keys:
        return _("No key of this team could be used; with one, each model below can be added.")
    return _("Prompts and answers of a model that is used are sent there.")


def provider_columns() -> list[dict[str, Any]]:
    price = _("For a million tokens, as the provider publishes it or this team has set it.")
    retires = _(
        "From this day on the provider does not answer for the model; stored answers keep old comparisons alive."
    )
    return [
        {"label": _("Model")},
        {"label": _("State")},
        {"label": _("Where it runs")},
        {"label": _("Context"), "unit": _("tokens"), "numeric": True},
        {"label": _("In"), "unit": _("$/M tokens"), "numeric": True, "help": price},
        {"label": _("Out"), "unit": _("$/M tokens"), "numeric": True, "help": price},
        {"label": _("Retires"), "help": retires},
        {"label": _("Action"), "hidden_label": True},
    ]
