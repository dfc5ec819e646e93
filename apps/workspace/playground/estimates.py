"""What sending a draft of the playground would cost, before it is sent."""

from typing import Any

from apps.billing.engine.token_estimate import (
    FEWEST_BYTES_PER_TOKEN,
    MOST_BYTES_PER_TOKEN,
    CallSize,
    cost_range,
)
from apps.billing.errors import UnknownPrice
from apps.billing.models import Price
from apps.billing.pricing import published, rates_of
from apps.billing.selectors import MeasuredSpeed, price_of, speeds_by_model
from apps.core.errors import ApplicationError
from apps.experiments.engine.prompts import PromptError, render_messages
from apps.workspace.playground.desk import CandidateDesk, Desk
from apps.workspace.selectors.estimates import HIGH, LOW, SECONDS_PER_HOUR, Estimate


def candidate_estimates(team: Any, at: Desk) -> list[Estimate]:
    """Nano-dollars of one answer of each candidate. The least is an answer of one token, the most one that is cut off;
    with an example, what a right answer would be.
    """
    speeds = speeds_by_model(team)
    return [_estimate(each, at, speeds) for each in at.candidates]


def whole_estimate(estimates: list[Estimate]) -> Estimate:
    return sum(estimates, Estimate())


def _estimate(candidate: CandidateDesk, at: Desk, speeds: dict[int, MeasuredSpeed]) -> Estimate:
    unknown = Estimate(unknown=(candidate.name,), complete=False)
    if candidate.problems or candidate.way is not None:
        return unknown
    try:
        sent = render_messages(candidate.spec(), at.draft.text, at.columns)
        tokens = int(candidate.parameters()["max_tokens"])
        price = _price(candidate)
        rates = rates_of(price) if price is not None else None
    except (PromptError, ApplicationError, UnknownPrice):
        return unknown
    if price is None:
        return unknown
    prompt = sum(len(message.content.encode()) for message in sent)
    answer = len(at.expected.encode()) if at.expected is not None else None
    if rates is not None:
        # Without an example: one token at the least, and all that it may write at the most.
        low, _high = cost_range(rates, CallSize(prompt, answer or 0, tokens), calls=1)
        longest = answer if answer is not None else tokens * FEWEST_BYTES_PER_TOKEN
        _low, high = cost_range(rates, CallSize(prompt, longest, tokens), calls=1)
        return Estimate(nanousd_low=low, nanousd_high=high)
    speed = speeds.get(candidate.model.pk) if candidate.model is not None else None
    if speed is None:
        return unknown
    fewest = min(tokens, max(1, round((answer or 0) / MOST_BYTES_PER_TOKEN)))
    most = tokens if answer is None else min(tokens, max(1, round(2 * answer / FEWEST_BYTES_PER_TOKEN)))
    seconds = LOW * fewest / speed.tokens_per_second, HIGH * most / speed.tokens_per_second
    per_second = (price.nanousd_per_hour or 0) / SECONDS_PER_HOUR
    return Estimate(*seconds, round(seconds[0] * per_second), round(seconds[1] * per_second))


def _price(candidate: CandidateDesk) -> Price | None:
    """What holds now; of a model that is added by being sent to, what its provider publishes."""
    if candidate.model is not None:
        return price_of(candidate.model)
    entry = candidate.choice.entry if candidate.choice is not None else None
    if entry is None or not entry.provider:
        return None
    return published(served_name=entry.provider_model, provider=entry.provider, provider_model=entry.provider_model)
