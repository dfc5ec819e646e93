"""Whether a provider's key works, found out as everything is: by a call that is held for, made and booked."""

import asyncio
from typing import Any

from django.utils.translation import gettext as _

from apps.billing.calls import MeteredCall, MeteredResult, ModelFacts
from apps.billing.errors import UnknownPrice
from apps.billing.metering import GenerateRequest, Message, Metering
from apps.billing.pricing import rates_of
from apps.billing.selectors import price_of
from apps.core.access import require
from apps.core.errors import Conflict
from apps.providers.availability import today
from apps.providers.engine.commercial import smallest_of_each_provider
from apps.providers.models import LanguageModel, Provider, ProviderKey
from apps.providers.services import language_model_add_commercial, provider_key_checked

CALL_SECONDS = 20.0
QUESTION = "Answer with the word: ready"
# The least that every provider takes as a bound of new tokens.
MAX_TOKENS = 16


def provider_key_test(*, actor: Any, key: ProviderKey) -> MeteredResult:
    """Ask the key's cheapest model one short question, keep what came of it with the key, and return the result.

    A key without a model is given the provider's cheapest offered one first. Conflict for a compatible server without a
    model. Raises what metering raises before a call: a budget, a missing key or a team's rule says nothing of the key.
    """
    require(key, actor, "edit")
    model = _cheapest(key) or _first_model(actor, key)
    call = MeteredCall(
        team_id=key.team_id,
        experiment_id=None,
        language_model=ModelFacts.of(model),
        request=GenerateRequest(model.provider_model, (Message("user", QUESTION),), MAX_TOKENS, temperature=None),
        purpose=f"key-test:{key.uid}",
        # An answer of before would say nothing.
        use_cache=False,
        person_id=actor.pk if actor is not None else None,
    )
    result = asyncio.run(_call(call))
    says = result.error_text.partition(": ")[2] or result.error_text
    provider_key_checked(actor=actor, key=key, ok=not result.error, says=says)
    return result


async def _call(call: MeteredCall) -> MeteredResult:
    # No second attempt: what is wrong with the first one is what is asked.
    async with Metering(call_timeout_seconds=CALL_SECONDS, deadline_seconds=0.0) as metering:
        return await metering.generate(call)


def _cheapest(key: ProviderKey) -> LanguageModel | None:
    """The ready model of this key whose answers cost least; None without one that has a price."""
    ready = LanguageModel.objects.filter(team=key.team, provider_key=key, state=LanguageModel.State.READY)
    return min((model for model in ready if _output_price(model) is not None), key=_output_price, default=None)  # type: ignore[arg-type]


def _output_price(model: LanguageModel) -> int | None:
    try:
        rates = rates_of(price_of(model))
    except UnknownPrice:
        return None
    return rates.output.base if rates is not None else 0


def _first_model(actor: Any, key: ProviderKey) -> LanguageModel:
    if key.provider == Provider.COMPATIBLE:
        raise Conflict(_("Add a model of this server and its price first: the test asks it one short question."))
    smallest = next(known for known in smallest_of_each_provider(today()) if known.provider == key.provider)
    return language_model_add_commercial(
        actor=actor, team=key.team, provider=key.provider, provider_model=smallest.name, key=key
    )
