"""What a call may cost before it is made, and what it cost when its answer is there."""

import hashlib
import json
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.billing.engine.ledger import Spent
from apps.billing.engine.money import compute_cost_nanousd, local_call_bound_nanousd
from apps.billing.engine.price_choice import ANY_LOCAL_MODEL, PER_HOUR, PER_TOKEN
from apps.billing.engine.published import published_price
from apps.billing.engine.rates import TokenCount, TokenRates, prompt_tokens_bound
from apps.billing.errors import UnknownPrice
from apps.billing.models import Price
from apps.providers.engine.clients.base import GenerateRequest, GenerateResult, Usage

# No model reads or writes so many tokens at once; a count above it is a fault of the provider's.
MOST_TOKENS = 100_000_000


def published(*, served_name: str, provider: str, provider_model: str) -> Price | None:
    """The provider's published price of today as a row that is not stored yet; None where nobody publishes one."""
    now = timezone.now()
    found = published_price(provider, provider_model, now)
    if found is None:
        return None
    rates = found.rates.to_json()
    return Price(
        team=None,
        served_name=served_name,
        unit=PER_TOKEN,
        rates=rates,
        rates_hash=rates_hash(rates),
        assumed=False,
        source=f"genai-prices: {found.model}",
        data_version=found.data_version,
        valid_from=now,
    )


def assumed_local() -> Price:
    """What computing here is assumed to cost until the team sets another price, as a row that is not stored yet."""
    return Price(
        team=None,
        served_name=ANY_LOCAL_MODEL,
        unit=PER_HOUR,
        nanousd_per_hour=settings.LOCAL_NANOUSD_PER_HOUR,
        assumed=True,
        source="LLMOPT_LOCAL_NANOUSD_PER_HOUR",
        valid_from=timezone.now(),
    )


def rates_hash(rates: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(rates, sort_keys=True).encode()).hexdigest()


def stored(price: Price) -> Price:
    """The row of a published price, made with the first call that is paid by it and never changed."""
    if price.pk is not None:
        return price
    row, _made = Price.objects.get_or_create(
        team=None,
        served_name=price.served_name,
        data_version=price.data_version,
        rates_hash=price.rates_hash,
        defaults={"unit": price.unit, "rates": price.rates, "source": price.source, "valid_from": price.valid_from},
    )
    return row


def rates_of(price: Price) -> TokenRates | None:
    """The price list of a price of tokens; None for one of computing time. UnknownPrice for a row without any."""
    if price.unit == PER_HOUR:
        if price.nanousd_per_hour is None:
            raise _no_amount(price)
        return None
    if price.token_rates is None:
        raise _no_amount(price)
    return price.token_rates


def bound_nanousd(price: Price, request: GenerateRequest, *, timeout_seconds: float) -> int:
    """The most that one attempt can cost."""
    rates = rates_of(price)
    if rates is None:
        return local_call_bound_nanousd(
            prompt_bytes=request.prompt_bytes(),
            max_tokens=request.max_tokens,
            timeout_seconds=timeout_seconds,
            nanousd_per_hour=int(price.nanousd_per_hour or 0),
        )
    # Schemas, names of tools and their results are a part of what the model reads.
    whole = json.dumps(request.identity(), ensure_ascii=False)
    prompt = prompt_tokens_bound([whole], messages=len(request.messages), tools=bool(request.tools))
    return rates.bound_nanousd(prompt_tokens=prompt, max_tokens=request.max_tokens)


def spent_on(price: Price, answer: GenerateResult) -> Spent | None:
    """What an answer cost; None when nobody can know: it is paid by the token and came without a count of them, or with
    one that cannot be.
    """
    rates = rates_of(price)
    tokens = _counted(answer.usage)
    if rates is not None and tokens is None:
        return None
    seconds, evidence = answer.compute_seconds, ""
    if rates is None:
        if seconds is None:
            # The model's share of its batch cannot be longer than the caller waited.
            seconds, evidence = answer.latency_ms / 1000, "No compute time was reported; the wall time is booked."
        amount = compute_cost_nanousd(seconds, int(price.nanousd_per_hour or 0))
    else:
        assert tokens is not None
        amount = rates.cost_nanousd(tokens)
    return Spent(
        amount_nanousd=amount,
        prompt_tokens=tokens.prompt if tokens else 0,
        completion_tokens=tokens.completion if tokens else 0,
        cached_prompt_tokens=tokens.cached_prompt if tokens else 0,
        reasoning_tokens=tokens.reasoning if tokens else 0,
        compute_seconds=seconds,
        latency_ms=answer.latency_ms,
        evidence=evidence,
    )


def _counted(usage: Usage | None) -> TokenCount | None:
    """What the provider counted, unless it counted what cannot be."""
    if usage is None or max(usage.prompt_tokens, usage.completion_tokens) > MOST_TOKENS:
        return None
    try:
        return TokenCount(
            prompt=usage.prompt_tokens,
            completion=usage.completion_tokens,
            cached_prompt=usage.cached_prompt_tokens,
            written_prompt=usage.cache_write_prompt_tokens,
            reasoning=usage.reasoning_tokens,
        )
    except ValueError:
        return None


def _no_amount(price: Price) -> UnknownPrice:
    return UnknownPrice(_("The price of %(model)s has no amount.") % {"model": price.served_name})
