"""The one way to call a model: hold money, call, settle; retries and cached answers included.

Each attempt has a reservation of its own. It is released when the request provably never left, settled when an answer
came (a refusal costs nothing), and booked at its bound when nobody knows. What the caller wants to keep is stored in
the transaction that books the answer, so that neither can exist without the other.
"""

import asyncio
import dataclasses
import json
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.billing import cache, holders, ledger_runner, selectors
from apps.billing.calls import INFRASTRUCTURE, MeteredCall, MeteredResult, ModelFacts
from apps.billing.engine.ledger import Hold, Spent
from apps.billing.engine.money import compute_cost_nanousd, local_call_bound_nanousd
from apps.billing.engine.retry import delay_seconds
from apps.billing.errors import BudgetExceeded, CallPostponed, UnknownPrice
from apps.billing.models import Price
from apps.core import artifacts
from apps.core.db import in_database
from apps.core.errors import translated
from apps.core.faults import fault_point
from apps.core.storable import storable_text
from apps.providers.engine.clients.base import (
    BadAnswer,
    BadRequest,
    Client,
    ConnectionFailed,
    ContentFilter,
    ContextTooLong,
    GenerateRequest,
    GenerateResult,
    ProviderError,
    RateLimited,
    Timeout,
    Usage,
)
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel

__all__ = [
    "INFRASTRUCTURE",
    "BudgetExceeded",
    "CallPostponed",
    "GenerateRequest",
    "Message",
    "MeteredCall",
    "MeteredResult",
    "Metering",
    "ModelFacts",
    "UnknownPrice",
]

log = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 120.0
# Longer than a killed inference process needs to come back and load its model.
DEADLINE_SECONDS = 300.0
# How long after its own timeout a silent attempt may still be settling before a sweep may close it.
GRACE_SECONDS = 30.0
STOP_LOOK_SECONDS = 0.5

CANDIDATE_FAILURES = (ContextTooLong, ContentFilter, BadRequest)
# Answers that say "not now" or "no": nothing was generated, so nothing is owed.
REFUSAL_STATUSES = frozenset({400, 401, 403, 404, 413, 422, 429, 503, 529})


@dataclasses.dataclass(slots=True)
class _Attempt:
    """One attempt, filled in from the database thread so that even a cancelled task knows what is open."""

    call: MeteredCall
    price: Price
    number: int
    timeout_seconds: float
    reservation_id: int | None = None
    left: bool = False

    @property
    def hourly(self) -> int:
        if self.price.nanousd_per_hour is None:
            raise UnknownPrice(
                _("The price of %(model)s has no amount.") % {"model": self.call.language_model.served_name}
            )
        return self.price.nanousd_per_hour

    def bound_nanousd(self) -> int:
        request = self.call.request
        return local_call_bound_nanousd(
            prompt_bytes=request.prompt_bytes(),
            max_tokens=request.max_tokens,
            timeout_seconds=self.timeout_seconds,
            nanousd_per_hour=self.hourly,
        )

    def reserve(self) -> None:
        hold = Hold(
            team_id=self.call.team_id,
            experiment_id=self.call.experiment_id,
            language_model_id=self.call.language_model.id,
            price_id=self.price.pk,
            purpose=self.call.purpose,
            attempt=self.number,
            amount_nanousd=self.bound_nanousd(),
            expires_at=timezone.now() + timedelta(seconds=self.timeout_seconds + GRACE_SECONDS),
            holder=holders.this_process(),
        )
        self.reservation_id = ledger_runner.reserve(hold).reservation_id


class Metering:
    """Calls models for one running piece of work, and keeps their connections until it ends.

    `clients` may give ready clients by served name, for tests of everything around them. Once `should_stop` says so, no
    further attempt is begun: a call that would need one raises CallPostponed.
    """

    def __init__(
        self,
        *,
        clients: dict[str, Client] | None = None,
        call_timeout_seconds: float = CALL_TIMEOUT_SECONDS,
        deadline_seconds: float = DEADLINE_SECONDS,
        should_stop: Callable[[], bool] = lambda: False,
        rng: random.Random | None = None,
    ) -> None:
        self._clients: dict[str, Client] = dict(clients or {})
        self._prices: dict[tuple[int, int], Price] = {}
        self._call_timeout_seconds = call_timeout_seconds
        self._deadline_seconds = deadline_seconds
        self._should_stop = should_stop
        # Only spreads retries over time; no result depends on it.
        self._rng = rng or random.Random()  # noqa: S311 - not used for secrets

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in set(self._clients.values()):
            await client.aclose()
        self._clients.clear()

    async def generate(self, call: MeteredCall) -> MeteredResult:
        """Make one call, retrying what another attempt can mend, and store its result.

        Raises BudgetExceeded when a budget has no room, UnknownPrice for a model without a price, and CallPostponed;
        then nothing is stored. Every other failure comes back as a result with `error`.
        """
        key = cache.cache_key(call)
        if call.use_cache:
            hit = await in_database(_from_cache, call, key)
            if hit is not None:
                return hit
        price = await self._price(call)
        client = await self._client(call.language_model)
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        number = 0
        while True:
            number += 1
            attempt = _Attempt(call, price, number, self._call_timeout_seconds)
            outcome = await self._attempt(attempt, client, key, deadline)
            if isinstance(outcome, MeteredResult):
                return outcome
            await self._wait(outcome)

    async def _wait(self, seconds: float) -> None:
        """Between two attempts, when nothing is held."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            if self._should_stop():
                raise CallPostponed(_("The work ended before the model answered; the call can be made again."))
            left = until - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(min(left, STOP_LOOK_SECONDS))

    async def _attempt(self, attempt: _Attempt, client: Client, key: str, deadline: float) -> MeteredResult | float:
        """The result, or the seconds to wait before the next attempt."""
        try:
            await in_database(attempt.reserve)
            fault_point("reserve")
            answer = await self._send(attempt, client)
            return await in_database(_settle, attempt, answer, key)
        except ProviderError as error:
            return await self._failed(attempt, error, deadline)
        except BaseException:
            # Cancelled, or a fault of ours: the money must not stay held for a call that nobody waits for.
            await in_database(_abandon, attempt)
            raise

    async def _send(self, attempt: _Attempt, client: Client) -> GenerateResult:
        if attempt.reservation_id is None or not await in_database(ledger_runner.mark_sent, attempt.reservation_id):
            raise ConnectionFailed(gettext_noop("The attempt was given up before it was sent."), sent=False)
        attempt.left = True
        answering = asyncio.ensure_future(client.generate(attempt.call.request))
        try:
            await asyncio.sleep(0)  # the request is on its way
            fault_point("call")
            # The client's own timeout comes first: it knows whether the request had left.
            async with asyncio.timeout(attempt.timeout_seconds + 1):
                return await answering
        except TimeoutError as error:
            raise Timeout(
                gettext_noop("No complete answer within %(seconds)s s."), seconds=f"{attempt.timeout_seconds:g}"
            ) from error
        finally:
            answering.cancel()

    async def _failed(self, attempt: _Attempt, error: ProviderError, deadline: float) -> MeteredResult | float:
        wait = delay_seconds(attempt.number, self._rng, getattr(error, "retry_after", None))
        again = error.retryable and asyncio.get_running_loop().time() + wait < deadline
        log.warning(
            "a model call failed",
            extra={"code": error.code, "purpose": attempt.call.purpose, "attempt": attempt.number, "again": again},
        )
        result = None if again else _failure(attempt, error)
        closed = await in_database(_close_failed, attempt, error, result)
        return wait if closed is None else closed

    async def _price(self, call: MeteredCall) -> Price:
        place = (call.team_id, call.language_model.id)
        if place not in self._prices:
            self._prices[place] = await in_database(_price, call)
        return self._prices[place]

    async def _client(self, model: ModelFacts) -> Client:
        name = model.served_name
        if name not in self._clients:
            made = await in_database(_make_client, model, self._call_timeout_seconds)
            self._clients.setdefault(name, made)
        return self._clients[name]


def _price(call: MeteredCall) -> Price:
    model = call.language_model
    return selectors.price_for(call.team_id, kind=model.kind, served_name=model.served_name)


def _make_client(model: ModelFacts, timeout_seconds: float) -> Client:
    """A client for the model's kind. Connections open with its first call."""
    if model.kind == LanguageModel.Kind.BASELINE:
        from apps.providers.engine.clients.baseline import BaselineClient

        return BaselineClient(json.loads(artifacts.get_bytes(model.artifact)), name=model.served_name)
    from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient

    token_file = settings.INFERENCE_TOKEN_FILE
    token = token_file.read_text().strip() if token_file.exists() else ""
    return OpenAICompatibleClient(settings.INFERENCE_URL, api_key=token, total_seconds=timeout_seconds)


def _from_cache(call: MeteredCall, key: str) -> MeteredResult | None:
    hit = cache.find(call.team_id, key)
    if hit is not None and call.store is not None:
        # Nothing is booked for it, and what is stored still exists as a whole or not at all.
        with transaction.atomic():
            call.store(hit)
            fault_point("hit")
    return hit


def _settle(attempt: _Attempt, answer: GenerateResult, key: str) -> MeteredResult:
    """Book the answer and store it, in one transaction."""
    usage = _usage(answer)
    spent = _spent(attempt, answer, usage)
    # Waiting behind other calls of the same run says nothing about the model.
    latency_ms = answer.latency_ms - 1000 * (answer.queue_seconds or 0.0)
    result = MeteredResult(
        text=storable_text(answer.text),
        finish_reason=storable_text(answer.finish_reason),
        latency_ms=latency_ms,
        original_latency_ms=latency_ms,
        cost_nanousd=spent.amount_nanousd,
        original_cost_nanousd=spent.amount_nanousd,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        compute_seconds=answer.compute_seconds,
        reservation_id=attempt.reservation_id,
        attempts=attempt.number,
        model_reported=storable_text(answer.model_reported),
        request_id=storable_text(answer.request_id),
    )
    call = attempt.call

    def keep() -> None:
        if call.use_cache:
            cache.store(call.team_id, key, result)
        _store(call, result)
        fault_point("settle")

    _book(attempt, spent, keep)
    if call.use_cache:
        cache.remember(call.team_id, key, result)
    return result


def _book(attempt: _Attempt, spent: Spent, keep: Callable[[], None]) -> None:
    """Settle and keep. If the caller's `store` fails, its error is raised, but the money that was spent is booked."""
    if attempt.reservation_id is None:
        raise RuntimeError("an attempt without a reservation cannot be settled")
    try:
        ledger_runner.settle(attempt.reservation_id, spent, and_then=keep)
    except Exception:
        ledger_runner.settle(attempt.reservation_id, spent)
        raise


def _usage(answer: GenerateResult) -> Usage:
    if answer.usage is None:
        raise BadAnswer(gettext_noop("The provider's answer does not say how many tokens it took."))
    return answer.usage


def _spent(attempt: _Attempt, answer: GenerateResult, usage: Usage) -> Spent:
    seconds, evidence = answer.compute_seconds, ""
    if seconds is None:
        # The model's share of its batch cannot be longer than the caller waited.
        seconds, evidence = answer.latency_ms / 1000, "No compute time was reported; the wall time is booked."
    return Spent(
        amount_nanousd=compute_cost_nanousd(seconds, attempt.hourly),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        compute_seconds=seconds,
        evidence=evidence,
    )


def _failure(attempt: _Attempt, error: ProviderError) -> MeteredResult:
    # A model that is not being served (404) is no failure of the candidate.
    own = isinstance(error, CANDIDATE_FAILURES) and error.status != 404
    return MeteredResult(
        error=error.code if own else INFRASTRUCTURE,
        error_text=storable_text(f"{error.code}: {translated(error)}"),
        reservation_id=attempt.reservation_id,
        attempts=attempt.number,
        request_id=error.request_id,
    )


def _close_failed(attempt: _Attempt, error: ProviderError, result: MeteredResult | None) -> MeteredResult | None:
    """Close the attempt by what is known of it; `result` is stored with that when it is the last one."""
    if attempt.reservation_id is None:
        raise RuntimeError("a failed attempt has no reservation") from error
    # English like everything in the books, whatever language the worker speaks.
    said = storable_text(f"{error.code}: {error.message}")
    refused = isinstance(error, (*CANDIDATE_FAILURES, RateLimited)) or error.code == "auth"
    nothing_owed = refused and (error.status is None or error.status in REFUSAL_STATUSES)
    if result is not None and error.sent and not nothing_owed:
        bound = attempt.bound_nanousd()
        result = dataclasses.replace(result, cost_nanousd=bound, original_cost_nanousd=bound)

    def keep() -> None:
        if result is not None:
            _store(attempt.call, result)

    if not error.sent:
        ledger_runner.release(attempt.reservation_id, and_then=keep)
    elif nothing_owed:
        ledger_runner.settle(
            attempt.reservation_id, Spent(0, evidence=f"Refused, nothing generated. {said}"), and_then=keep
        )
    else:
        ledger_runner.mark_unknown(attempt.reservation_id, said, and_then=keep)
    return result


def _abandon(attempt: _Attempt) -> None:
    if attempt.reservation_id is None:
        return
    if attempt.left:
        ledger_runner.mark_unknown(attempt.reservation_id, "Cancelled while the answer was awaited.")
    else:
        ledger_runner.release(attempt.reservation_id)


def _store(call: MeteredCall, result: MeteredResult) -> None:
    if call.store is not None:
        call.store(result)
