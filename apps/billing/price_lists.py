"""Prices as pages show them: what a million tokens of a provider's model or an hour of computing here costs, and who
says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.billing import pricing
from apps.billing.engine.price_choice import ANY_LOCAL_MODEL, PER_HOUR, PER_TOKEN, price_that_holds
from apps.billing.engine.rates import Rate
from apps.billing.errors import UnknownPrice
from apps.billing.models import Price
from apps.billing.selectors import price_candidates, price_for, price_of
from apps.core.errors import NotFound
from apps.core.formats import count_text
from apps.providers.models import LanguageModel

NANO = 10**9
# What a price list shows and a team can set, in this order.
KINDS = ("input", "cached_input", "cache_write", "output", "reasoning")


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

    def text_above(self, tokens: int) -> str:
        """What holds for a prompt of more than so many tokens, up to the next tier."""
        return _text(next((dollars for start, dollars in reversed(self.tiers) if start <= tokens), self.dollars))

    @property
    def steps_text(self) -> str:
        """What it is above which numbers of tokens; empty where it never changes."""
        said = _("$%(dollars)s above %(tokens)s tokens in")
        return ", ".join(said % {"dollars": text, "tokens": count_text(tokens)} for tokens, text in self.tier_texts)

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
    cache_write: ShownRate | None = None
    reasoning: ShownRate | None = None
    # Dollars for each call beside its tokens; empty for none.
    request_text: str = ""

    def texts(self) -> dict[str, str]:
        """Dollars by kind, without the kinds that cost what the whole they are a part of costs."""
        return {kind: rate.text for kind, rate in self._rates()}

    @property
    def steps(self) -> list[tuple[int, dict[str, str]]]:
        """(tokens, dollars by kind): what holds above so many tokens in a prompt, wherever any price changes."""
        starts = sorted({start for _kind, rate in self._rates() for start, _dollars in rate.tiers})
        return [(start, {kind: rate.text_above(start) for kind, rate in self._rates()}) for start in starts]

    def _rates(self) -> list[tuple[str, ShownRate]]:
        return [(kind, rate) for kind in KINDS if (rate := getattr(self, kind)) is not None]


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price that a team has set. `state` says in words whether it holds, will hold, or gave way to a later one."""

    price: ShownPrice
    valid_from: datetime
    state: str


@dataclass(frozen=True, slots=True)
class TeamPrices:
    """What a team has set for one thing, and the price that holds for it at `moment`, the team's or another."""

    rows: QuerySet[Price]
    holds: Price | None
    moment: datetime

    def latest_first(self) -> QuerySet[Price]:
        return self.rows.order_by("-valid_from", "-id")

    def state_of(self, row: Price) -> str:
        """`now`, `later` or `before`."""
        if row.valid_from > self.moment:
            return "later"
        return "now" if self.holds is not None and row.pk == self.holds.pk else "before"


@dataclass(frozen=True, slots=True)
class LocalPrices:
    """What an hour of computing here costs `now`, and the team's rows with their state in words, latest first."""

    now: Price
    own: list[tuple[Price, str]]

    @property
    def now_text(self) -> str:
        return dollars_per_hour(self.now)


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """What holds `now` for a provider's model, what is published of it, and all that the team has set, latest first."""

    now: ShownPrice | None
    published: ShownPrice | None
    own: list[OwnPrice]
    own_holds: bool


def team_prices_of(model: LanguageModel) -> TeamPrices:
    """What the team has set for the tokens of a provider's model. NotFound for one that runs here."""
    if not model.provider:
        raise NotFound(_("This model runs here, so its tokens have no price: its seconds of computing have one."))
    rows = Price.objects.filter(team=model.team_id, served_name=model.served_name, unit=PER_TOKEN)
    try:
        holds = price_of(model)
    except UnknownPrice:
        holds = None
    return TeamPrices(rows.filter(rates__isnull=False), holds, timezone.now())


def team_prices_of_hour(team: Any) -> TeamPrices:
    """What the team has set for an hour of computing here, what was assumed for it included."""
    rows = Price.objects.filter(team=team, served_name=ANY_LOCAL_MODEL, unit=PER_HOUR)
    try:
        holds = price_for(team.pk, kind=LanguageModel.Kind.LOCAL, served_name=ANY_LOCAL_MODEL)
    except UnknownPrice:
        holds = None
    return TeamPrices(rows.filter(nanousd_per_hour__isnull=False), holds, timezone.now())


def dollars_per_hour(price: Price) -> str:
    """A price of an hour to the last digit that it has: it is no sum that may be rounded."""
    return _text(Decimal(price.nanousd_per_hour or 0) / NANO)


def local_prices(team: Any) -> LocalPrices:
    """The price of an hour of computing here: assumed, and perhaps no stored row yet, until the team sets one."""
    priced = team_prices_of_hour(team)
    rows = [(row, str(STATES[priced.state_of(row)])) for row in priced.latest_first()]
    return LocalPrices(priced.holds or pricing.assumed_local(), rows)


def prices_of_model(model: LanguageModel) -> ModelPrices:
    """Prices by the token; NotFound for a model that runs here, which costs by the hour."""
    priced = team_prices_of(model)
    price = pricing.published(
        served_name=model.served_name, provider=model.provider, provider_model=model.provider_model
    )
    own = [
        OwnPrice(shown, row.valid_from, str(STATES[priced.state_of(row)]))
        for row in priced.latest_first()
        if (shown := _shown(row)) is not None
    ]
    holds = priced.holds
    return ModelPrices(
        now=_shown(holds) if holds is not None else None,
        published=_shown(price) if price is not None else None,
        own=own,
        own_holds=holds is not None and holds.team_id is not None,
    )


STATES = {
    "later": gettext_lazy("Will hold"),
    "now": gettext_lazy("Holds now"),
    "before": gettext_lazy("Held before"),
}


def prices_shown(team: Any, wanted: Iterable[Wanted]) -> dict[str, ShownPrice]:
    """Prices of tokens that hold now, by served name: the team's own before what the provider publishes.

    A model without one is left out. One query, however many are asked for.
    """
    wanted, now = list(wanted), timezone.now()
    rows = list(price_candidates(team.pk, [each.served_name for each in wanted], now, at_provider=True))
    found = {}
    for each in wanted:
        own = price_that_holds(rows, served_name=each.served_name, runs_here=False, at_provider=True, at=now)
        price = own or pricing.published(
            served_name=each.served_name, provider=each.provider, provider_model=each.provider_model
        )
        shown = _shown(price) if price is not None else None
        if shown is not None:
            found[each.served_name] = shown
    return found


def _shown(price: Price) -> ShownPrice | None:
    try:
        rates = pricing.rates_of(price)
    except UnknownPrice:
        return None
    if rates is None:
        return None
    parts = {
        kind: _rate(rate)
        for kind, rate in (
            ("cached_input", rates.cached_input),
            ("cache_write", rates.cache_write),
            ("reasoning", rates.reasoning),
        )
        if rate is not None
    }
    request = _text(Decimal(rates.request_nanousd) / NANO) if rates.request_nanousd else ""
    return ShownPrice(
        _rate(rates.input), _rate(rates.output), price.source, price.assumed, request_text=request, **parts
    )


def _rate(rate: Rate) -> ShownRate:
    return ShownRate(
        Decimal(rate.base) / NANO, tuple((start, Decimal(nanousd) / NANO) for start, nanousd in rate.tiers)
    )


def _text(dollars: Decimal) -> str:
    """Two decimals, and more only where two would say something else."""
    exact = dollars.normalize()
    decimals = max(2, -int(exact.as_tuple().exponent))  # a price is never infinite
    return f"{dollars:.{decimals}f}"
