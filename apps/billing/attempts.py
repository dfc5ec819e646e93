"""One attempt at one call, from the money held for it to the entry that explains it. All of it is database work."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from apps.billing import cache, holders, ledger_runner, pricing
from apps.billing.calls import INFRASTRUCTURE, MeteredCall, MeteredResult
from apps.billing.engine.ledger import Closed, Hold, Reserved, Spent, Wait
from apps.billing.models import Price
from apps.core.errors import translated
from apps.core.faults import fault_point
from apps.core.storable import storable_text
from apps.providers.engine.clients.base import (
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    ContentFilter,
    ContextTooLong,
    GenerateResult,
    Overloaded,
    ProviderError,
    RateLimited,
    Timeout,
)

# How long after its own timeout a silent attempt may still be settling before a sweep may close it.
GRACE_SECONDS = 30.0

CANDIDATE_FAILURES = (ContextTooLong, ContentFilter, BadRequest)
# Answers that say "not now" or "no": nothing was generated, so nothing is owed.
REFUSAL_STATUSES = frozenset({400, 401, 402, 403, 404, 413, 422, 429, 503, 529})
# After these in a row a provider is left alone for a while. A rate limit is not its failure.
PROVIDER_FAILURES = (Overloaded, Timeout, ConnectionFailed, BadAnswer)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may go through a provider's key."""

    max_concurrency: int | None = None
    requests_per_minute: int | None = None


class NoRoom(Exception):
    """The provider's key has no room now; nothing is held."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(wait.reason)
        self.wait = wait


@dataclass(slots=True)
class Attempt:
    """Filled in from the database thread, so that even a cancelled task knows what is open."""

    call: MeteredCall
    price: Price
    number: int
    timeout_seconds: float
    limits: Limits = Limits()
    reservation_id: int | None = None
    held_nanousd: int = 0
    left: bool = False

    def reserve(self) -> None:
        """Hold the most that the attempt can cost. BudgetExceeded; NoRoom."""
        self.took(ledger_runner.reserve(self.hold()))

    def hold(self, *, uid: str = "", leaves: bool = False) -> Hold:
        """What has to be held. `leaves`: the books say at once that the request is on its way."""
        call, price = self.call, pricing.stored(self.price)
        self.held_nanousd = pricing.bound_nanousd(price, call.request, timeout_seconds=self.timeout_seconds)
        return Hold(
            team_id=call.team_id,
            experiment_id=call.experiment_id,
            language_model_id=call.language_model.id,
            price_id=price.pk,
            purpose=call.purpose,
            attempt=self.number,
            amount_nanousd=self.held_nanousd,
            expires_at=timezone.now() + timedelta(seconds=self.timeout_seconds + GRACE_SECONDS),
            holder=holders.this_process(),
            person_id=call.person_id,
            api_key_id=call.api_key_id,
            provider_key_id=call.language_model.provider_key_id,
            max_concurrency=self.limits.max_concurrency,
            requests_per_minute=self.limits.requests_per_minute,
            uid=uid,
            leaves=leaves,
        )

    def took(self, outcome: Reserved | Wait) -> None:
        """Keep what is held now. NoRoom."""
        if isinstance(outcome, Wait):
            raise NoRoom(outcome)
        self.reservation_id = outcome.reservation_id

    def mark_sent(self) -> bool:
        """Whether the request may leave: the reservation is still held."""
        self.left = self.reservation_id is not None and ledger_runner.mark_sent(self.reservation_id)
        return self.left

    @property
    def open_id(self) -> int:
        """The reservation that has to be closed."""
        if self.reservation_id is None:
            raise RuntimeError("an attempt without a reservation cannot be closed")
        return self.reservation_id

    def booking(self, answer: GenerateResult, evidence: str) -> tuple[MeteredResult, Spent | None]:
        """What the caller gets, and what has to be booked; None where nobody can know what the answer cost."""
        spent = pricing.spent_on(self.price, answer)
        if spent is None:
            return dataclasses.replace(self._result(answer, self.held_nanousd), bounded=True), None
        said = " ".join(filter(None, (spent.evidence, evidence)))
        booked = dataclasses.replace(spent, evidence=said, uid=self.call.generation_uid)
        return self._result(answer, spent.amount_nanousd), booked

    def settle(self, answer: GenerateResult, key: str, evidence: str = "") -> MeteredResult:
        """Book the answer and store it, in one transaction. Its bound is booked if its cost cannot be known."""
        result, spent = self.booking(answer, evidence)
        call = self.call

        def keep(closed: Closed | None) -> None:
            nonlocal result
            if closed is not None:
                result = dataclasses.replace(result, generation_uid=closed.entry_uid)
            if call.use_cache:
                cache.store(call.team_id, key, result)
            _store(call, result)
            fault_point("settle")

        if spent is None:
            says = f"The answer came without a usable count of its tokens. {evidence}".strip()
            uid = call.generation_uid
            self._close(lambda then: ledger_runner.mark_unknown(self.open_id, says, uid=uid, and_then=then), keep)
        else:
            self._close(lambda then: ledger_runner.settle(self.open_id, spent, and_then=then), keep)
        if call.use_cache:
            cache.remember(call.team_id, key, result)
        return result

    def _close(
        self,
        close: Callable[[Callable[[Closed | None], None] | None], object],
        keep: Callable[[Closed | None], None],
    ) -> None:
        """If the caller's `store` fails, its error is raised, but the money that was spent is booked."""
        try:
            close(keep)
        except Exception:
            close(None)
            raise

    def _result(self, answer: GenerateResult, amount_nanousd: int) -> MeteredResult:
        usage = answer.usage
        # Waiting behind other calls of the same run says nothing about the model.
        latency_ms = answer.latency_ms - 1000 * (answer.queue_seconds or 0.0)
        first_piece_ms = answer.first_token_ms
        if first_piece_ms is not None:
            first_piece_ms -= 1000 * (answer.first_queue_seconds or 0.0)
        return MeteredResult(
            text=storable_text(answer.text),
            finish_reason=storable_text(answer.finish_reason),
            latency_ms=latency_ms,
            first_piece_ms=first_piece_ms,
            original_latency_ms=latency_ms,
            cost_nanousd=amount_nanousd,
            original_cost_nanousd=amount_nanousd,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            cached_prompt_tokens=usage.cached_prompt_tokens if usage else 0,
            reasoning_tokens=usage.reasoning_tokens if usage else 0,
            compute_seconds=answer.compute_seconds,
            tool_calls=answer.tool_calls,
            reservation_id=self.reservation_id,
            language_model_id=self.call.language_model.id,
            attempts=self.number,
            model_reported=storable_text(answer.model_reported),
            request_id=storable_text(answer.request_id),
        )

    def fail(self, error: ProviderError, *, last: bool) -> MeteredResult | None:
        """Close the attempt by what is known of it; what comes back is stored with that when it is the last one."""
        # English like everything in the books, whatever language the worker speaks.
        said = storable_text(f"{error.code}: {error.message}")
        refused = isinstance(error, (*CANDIDATE_FAILURES, RateLimited)) or error.code == "auth"
        nothing_owed = refused and (error.status is None or error.status in REFUSAL_STATUSES)
        result = self.failure(error) if last else None
        if result is not None and error.sent and not nothing_owed:
            result = dataclasses.replace(
                result, cost_nanousd=self.held_nanousd, original_cost_nanousd=self.held_nanousd, bounded=True
            )

        def keep(closed: Closed | None) -> None:
            if result is not None:
                _store(self.call, result)

        if not error.sent:
            ledger_runner.release(self.open_id, and_then=keep)
        elif nothing_owed:
            none = Spent(0, evidence=f"Refused, nothing generated. {said}")
            ledger_runner.settle(self.open_id, none, answered=False, and_then=keep)
        else:
            ledger_runner.mark_unknown(self.open_id, said, and_then=keep)
        self._tell_provider_state(error)
        return result

    def failure(self, error: ProviderError) -> MeteredResult:
        """The result of a call whose last attempt failed, with what had arrived of it."""
        # A model that is not being served (404) is no failure of the candidate.
        own = isinstance(error, CANDIDATE_FAILURES) and error.status != 404
        return MeteredResult(
            text=storable_text(error.partial.text) if error.partial else "",
            error=error.code if own else INFRASTRUCTURE,
            error_text=storable_text(f"{error.code}: {translated(error)}"),
            error_code=error.code,
            reservation_id=self.reservation_id,
            language_model_id=self.call.language_model.id,
            attempts=self.number,
            request_id=error.request_id,
        )

    def _tell_provider_state(self, error: ProviderError) -> None:
        key = self.call.language_model.provider_key_id
        counts = isinstance(error, PROVIDER_FAILURES) and error.status != 429
        retry_after = getattr(error, "retry_after", None)
        if key is not None and (counts or retry_after):
            ledger_runner.note_failure(key, counts=counts, retry_after=retry_after)

    def abandon(self) -> None:
        """Close what nobody waits for any more."""
        if self.reservation_id is None:
            return
        if self.left:
            ledger_runner.mark_unknown(self.reservation_id, "Cancelled while the answer was awaited.")
        else:
            ledger_runner.release(self.reservation_id)


def _store(call: MeteredCall, result: MeteredResult) -> None:
    if call.store is not None:
        call.store(result)
