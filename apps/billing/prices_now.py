"""What calls of many models would be paid by now, for whoever lists models."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.billing import pricing
from apps.billing.engine.published import data_version
from apps.billing.models import Price
from apps.billing.pricing import PER_HOUR, PER_TOKEN
from apps.billing.selectors import ANY_LOCAL_MODEL, LOCAL_KINDS
from apps.providers.models import LanguageModel


def prices_now(team: Any, models: Iterable[LanguageModel]) -> dict[int, Price]:
    """The price that `selectors.price_of` finds, by the model's id, in two queries however many models there are.

    A price that no call was paid by yet is no stored row (`pk` None): a provider's published one, or that of local
    computing from the settings. A model that has none is left out, and is not called.
    """
    models = list(models)
    rows = _rows(team, [model.served_name for model in models])
    published = _published_rows([model.served_name for model in models if model.provider])
    found = {}
    for model in models:
        price = _own(rows, model)
        if price is None:
            price = _published(published, model) if model.provider else pricing.assumed_local()
        if price is not None:
            found[model.pk] = price
    return found


def _rows(team: Any, names: list[str]) -> list[Price]:
    """Rows of the team and those for every team, best first for a model that runs here."""
    rows = Price.objects.filter(
        Q(team=team) | Q(team=None), served_name__in=[*names, ANY_LOCAL_MODEL], valid_from__lte=timezone.now()
    )
    usable = rows.exclude(unit=PER_HOUR, nanousd_per_hour=None).exclude(unit=PER_TOKEN, rates=None)
    newest = list(usable.order_by("-valid_from", "-id"))
    return sorted(newest, key=lambda row: (row.served_name == ANY_LOCAL_MODEL, row.team_id is None))


def _own(rows: list[Price], model: LanguageModel) -> Price | None:
    names = {model.served_name, ANY_LOCAL_MODEL} if model.kind in LOCAL_KINDS else {model.served_name}
    # What is published is looked up anew each time: a row of it tells what some call was paid by.
    of_team = bool(model.provider)
    return next((row for row in rows if row.served_name in names and not (of_team and row.team_id is None)), None)


def _published(stored: dict[tuple[str, str], Price], model: LanguageModel) -> Price | None:
    price = pricing.published(
        served_name=model.served_name, provider=model.provider, provider_model=model.provider_model
    )
    return price if price is None else stored.get((price.served_name, price.rates_hash), price)


def _published_rows(names: list[str]) -> dict[tuple[str, str], Price]:
    rows = Price.objects.filter(team=None, served_name__in=names, data_version=data_version()) if names else []
    return {(row.served_name, row.rates_hash): row for row in rows}
