"""What calls of many models would be paid by now, for whoever lists models."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from apps.billing import pricing
from apps.billing.engine.price_choice import ANY_LOCAL_MODEL, price_that_holds
from apps.billing.engine.published import data_version
from apps.billing.models import Price
from apps.billing.selectors import LOCAL_KINDS, price_candidates
from apps.providers.models import LanguageModel


def prices_now(team: Any, models: Iterable[LanguageModel]) -> dict[int, Price]:
    """The price that `selectors.price_of` finds, by the model's id, in two queries however many models there are.

    A price that no call was paid by yet is no stored row (`pk` None): a provider's published one, or that of local
    computing from the settings. A model that has none is left out, and is not called.
    """
    models, now = list(models), timezone.now()
    rows = list(price_candidates(team.pk, [*(model.served_name for model in models), ANY_LOCAL_MODEL], now))
    published = _published_rows([model.served_name for model in models if model.provider])
    found = {}
    for model in models:
        price = price_that_holds(
            rows,
            served_name=model.served_name,
            runs_here=model.kind in LOCAL_KINDS,
            at_provider=bool(model.provider),
            at=now,
        )
        if price is None:
            price = _published(published, model) if model.provider else pricing.assumed_local()
        if price is not None:
            found[model.pk] = price
    return found


def _published(stored: dict[tuple[str, str], Price], model: LanguageModel) -> Price | None:
    price = pricing.published(
        served_name=model.served_name, provider=model.provider, provider_model=model.provider_model
    )
    return price if price is None else stored.get((price.served_name, price.rates_hash), price)


def _published_rows(names: list[str]) -> dict[tuple[str, str], Price]:
    rows = Price.objects.filter(team=None, served_name__in=names, data_version=data_version()) if names else []
    return {(row.served_name, row.rates_hash): row for row in rows}
