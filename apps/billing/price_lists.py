"""Prices of providers' models as pages show them: what a million tokens costs, and who says so."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils import timezone

from apps.billing import pricing
from apps.billing.engine.rates import Rate
from apps.billing.errors import UnknownPrice
from apps.billing.models import Price

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
    return ShownPrice(_rate(rates.input), _rate(rates.output), price.source, price.assumed)


def _rate(rate: Rate) -> ShownRate:
    return ShownRate(
        Decimal(rate.base) / NANO, tuple((start, Decimal(nanousd) / NANO) for start, nanousd in rate.tiers)
    )


def _text(dollars: Decimal) -> str:
    """Two decimals, and more only where two would say something else."""
    exact = dollars.normalize()
    decimals = max(2, -int(exact.as_tuple().exponent))  # a price is never infinite
    return f"{dollars:.{decimals}f}"
