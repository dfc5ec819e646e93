"""Prices of providers' models as pages show them: what a million tokens costs, and who says so."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.billing import pricing
from apps.billing.engine.rates import Rate
from apps.billing.errors import UnknownPrice
from apps.billing.models import Price
from apps.core.errors import NotFound
from apps.providers.models import LanguageModel

NANO = 10**9


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model whose price is asked for; it need not be one that a team has added."""

    served_name: str
    provider: str
    provider_model: str


@dataclass(frozen=True, slots=True)
class ShownRate:
    """US dollars for a million tokens, and (tokens, dollars) from which on a longer prompt costs more."""

    dollars: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    @property
    def text(self) -> str:
        return _text(self.dollars)

    @property
    def tier_texts(self) -> list[tuple[int, str]]:
        return [(tokens, _text(dollars)) for tokens, dollars in self.tiers]


@dataclass(frozen=True, slots=True)
class ShownPrice:
    input: ShownRate
    output: ShownRate
    source: str
    assumed: bool
    cached_input: ShownRate | None = None


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price that a team has set. `state` says in words whether it holds, will hold, or gave way to a later one."""

    price: ShownPrice
    valid_from: datetime
    state: str


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """What holds `now` for a provider's model, what is published of it, and all that the team has set, latest first."""

    now: ShownPrice | None
    published: ShownPrice | None
    own: list[OwnPrice]
    own_holds: bool


def prices_of_model(model: LanguageModel) -> ModelPrices:
    """Prices by the token; NotFound for a model that runs here, which costs by the hour."""
    if not model.provider:
        raise NotFound(_("This model runs here, so its tokens have no price: its seconds of computing have one."))
    price = pricing.published(
        served_name=model.served_name, provider=model.provider, provider_model=model.provider_model
    )
    published = _shown(price) if price is not None else None
    own = _own_prices_of(model)
    holds = next((each.price for each in own if each.state == _STATES["now"]), None)
    return ModelPrices(holds or published, published, own, holds is not None)


def _own_prices_of(model: LanguageModel) -> list[OwnPrice]:
    rows = Price.objects.filter(
        team=model.team_id, served_name=model.served_name, unit=pricing.PER_TOKEN, rates__isnull=False
    )
    found, now, state = [], timezone.now(), "now"
    for row in rows.order_by("-valid_from", "-id"):
        shown = _shown(row)
        if shown is None:
            continue
        later = row.valid_from > now
        found.append(OwnPrice(shown, row.valid_from, str(_STATES["later" if later else state])))
        state = state if later else "before"
    return found


_STATES = {
    "later": gettext_lazy("Will hold"),
    "now": gettext_lazy("Holds now"),
    "before": gettext_lazy("Held before"),
}


def prices_shown(team: Any, wanted: Iterable[Wanted]) -> dict[str, ShownPrice]:
    """Prices of tokens that hold now, by served name: the team's own before what the provider publishes.

    A model without one is left out. One query, however many are asked for.
    """
    wanted = list(wanted)
    own = _own_prices(team, [each.served_name for each in wanted])
    found = {}
    for each in wanted:
        price = own.get(each.served_name) or pricing.published(
            served_name=each.served_name, provider=each.provider, provider_model=each.provider_model
        )
        shown = _shown(price) if price is not None else None
        if shown is not None:
            found[each.served_name] = shown
    return found


def _own_prices(team: Any, names: list[str]) -> dict[str, Price]:
    rows = Price.objects.filter(
        team=team, served_name__in=names, unit=pricing.PER_TOKEN, rates__isnull=False, valid_from__lte=timezone.now()
    )
    # The latest of each name is read last.
    return {row.served_name: row for row in rows.order_by("valid_from", "id")}


def _shown(price: Price) -> ShownPrice | None:
    try:
        rates = pricing.rates_of(price)
    except UnknownPrice:
        return None
    if rates is None:
        return None
    cached = _rate(rates.cached_input) if rates.cached_input is not None else None
    return ShownPrice(_rate(rates.input), _rate(rates.output), price.source, price.assumed, cached)


def _rate(rate: Rate) -> ShownRate:
    return ShownRate(
        Decimal(rate.base) / NANO, tuple((start, Decimal(nanousd) / NANO) for start, nanousd in rate.tiers)
    )


def _text(dollars: Decimal) -> str:
    """Two decimals, and more only where two would say something else."""
    exact = dollars.normalize()
    decimals = max(2, -int(exact.as_tuple().exponent))  # a price is never infinite
    return f"{dollars:.{decimals}f}"
