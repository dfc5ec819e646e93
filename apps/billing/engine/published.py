"""Published prices of commercial models, from the data that comes with genai-prices. Nothing is fetched.

https://github.com/pydantic/genai-prices collects them from the providers' price pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from apps.billing.engine.rates import Rate, TokenRates

NANOUSD = 10**9

# Whose names mean what the data says. A server of one's own may call anything "gpt-5"; its prices are for the team
# to set.
PROVIDERS = frozenset({"openai", "anthropic"})

# What a request made here can be charged for; everything else (images, sound, web searches, cache entries that live for
# an hour) is never asked for.
_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}


@dataclass(frozen=True, slots=True)
class Published:
    """A price list and where it comes from. `model` is the entry's name there, which may cover several names."""

    model: str
    rates: TokenRates
    context_length: int | None
    data_version: str


@lru_cache(maxsize=1)
def data_version() -> str:
    """Name and version of the data that prices are read from."""
    return f"genai-prices {version('genai-prices')}"


def published_price(provider: str, model: str, at: datetime) -> Published | None:
    """The price of a provider's model that holds at a moment (aware); None where the data knows none of text."""
    entry = _entry(provider, model) if provider in PROVIDERS else None
    if entry is None:
        return None
    # Batches, flexible and fast tiers have other prices; requests made here ask for the provider's default one.
    prices = entry.get_prices(at)
    rates = {name: _rate(getattr(prices, key)) for name, key in _RATES.items()}
    given, made = rates["input"], rates["output"]
    if given is None or made is None:
        return None
    per_thousand = prices.requests_kcount
    if per_thousand is not None and not isinstance(per_thousand, Decimal):
        return None
    return Published(
        model=entry.id,
        rates=TokenRates(
            input=given,
            output=made,
            cached_input=rates["cached_input"],
            cache_write=rates["cache_write"],
            reasoning=rates["reasoning"],
            request_nanousd=_nanousd((per_thousand or Decimal(0)) / 1000),
        ),
        context_length=entry.context_window,
        data_version=data_version(),
    )


@lru_cache(maxsize=512)
def _entry(provider: str, model: str) -> Any | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, entry = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return entry


def _rate(price: Any) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Rate(_nanousd(price))
    tiers = sorted((int(tier.start), _nanousd(tier.price)) for tier in price.tiers)
    return Rate(_nanousd(price.base), tuple(tiers))


def _nanousd(dollars: Decimal) -> int:
    """Rounded up: a price below a nano-dollar for a million tokens does not exist."""
    amount = dollars * NANOUSD
    whole = int(amount)
    return whole if whole == amount else whole + 1
