"""Where the attempts of metering are booked: through the database thread, or on PostgreSQL through a pool as well."""

import asyncio
import dataclasses
from functools import partial
from typing import Protocol

from django.db import connection, transaction

from apps.billing import cache, known_prices, ledger_runner
from apps.billing.attempts import Attempt
from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.engine.ledger import Hit
from apps.billing.ledger_async import AsyncLedger, connection_string
from apps.billing.models import Price
from apps.core.db import ended, in_database, in_database_once
from apps.core.faults import fault_point
from apps.core.models.base import new_uid
from apps.providers.engine.clients.base import GenerateResult, ProviderError


class Books(Protocol):
    """What has begun ends, even when the calling task is cancelled: nobody has to guess whether money is held."""

    async def price(self, call: MeteredCall) -> Price:
        """UnknownPrice."""

    async def hit(self, call: MeteredCall, key: str) -> MeteredResult | None:
        """The answer that is kept for an equal call, booked as such."""

    async def reserve(self, attempt: Attempt) -> None:
        """BudgetExceeded; NoRoom."""

    async def leave(self, attempt: Attempt) -> bool:
        """Whether the request may leave now."""

    async def settle(self, attempt: Attempt, answer: GenerateResult, key: str, evidence: str) -> MeteredResult: ...

    async def fail(self, attempt: Attempt, error: ProviderError, *, last: bool) -> MeteredResult | None: ...

    async def abandon(self, attempt: Attempt) -> None: ...

    async def aclose(self) -> None: ...


class ThreadBooks:
    """Everything in the database thread."""

    async def price(self, call: MeteredCall) -> Price:
        return await in_database(known_prices.price_of_call, call)

    async def hit(self, call: MeteredCall, key: str) -> MeteredResult | None:
        return await in_database(_from_cache, call, key)

    async def reserve(self, attempt: Attempt) -> None:
        await in_database(attempt.reserve)

    async def leave(self, attempt: Attempt) -> bool:
        return await in_database(attempt.mark_sent)

    async def settle(self, attempt: Attempt, answer: GenerateResult, key: str, evidence: str) -> MeteredResult:
        return await in_database(attempt.settle, answer, key, evidence)

    async def fail(self, attempt: Attempt, error: ProviderError, *, last: bool) -> MeteredResult | None:
        return await in_database(partial(attempt.fail, error, last=last))

    async def abandon(self, attempt: Attempt) -> None:
        await in_database(attempt.abandon)

    async def aclose(self) -> None:
        """Nothing to give back."""


class PooledBooks(ThreadBooks):
    """On PostgreSQL: holding and settling an answered call, and an answer from memory, by a pool without a thread.

    The same rows by the same rules (`engine.ledger_at_once`). What is seldom needed stays in the thread, as does what a
    call stores for its caller.
    """

    def __init__(self) -> None:
        self._ledger: AsyncLedger | None = None
        self._opening = asyncio.Lock()

    async def price(self, call: MeteredCall) -> Price:
        known = known_prices.known(call)
        if known is not None:
            return known.price
        read = await in_database_once(("price", call.team_id, call.language_model.id), known_prices.read, call)
        return read.price

    async def hit(self, call: MeteredCall, key: str) -> MeteredResult | None:
        found = cache.find_in_memory(call.team_id, key) if call.store is None else None
        if found is None:
            return await super().hit(call, key)
        ledger = await self._open()
        uid = await ended(asyncio.ensure_future(ledger.book_hit(_hit_of(call, found))))
        return dataclasses.replace(found, generation_uid=uid, language_model_id=call.language_model.id)

    async def reserve(self, attempt: Attempt) -> None:
        await ended(asyncio.ensure_future(self._reserve(attempt)))

    async def leave(self, attempt: Attempt) -> bool:
        # The reservation says so already, since it was made just now.
        attempt.left = True
        return True

    async def settle(self, attempt: Attempt, answer: GenerateResult, key: str, evidence: str) -> MeteredResult:
        call = attempt.call
        result, spent = attempt.booking(answer, evidence)
        if call.store is not None or spent is None:
            return await super().settle(attempt, answer, key, evidence)
        fault_point("settle")
        ledger = await self._open()
        group = (call.team_id, call.experiment_id, call.person_id, call.api_key_id)
        keep = cache.keeping(call.team_id, key, result) if call.use_cache else None
        booking = ledger.settle(attempt.open_id, spent, group=group, keep=keep)
        closed = await ended(asyncio.ensure_future(booking))
        if call.use_cache:
            cache.remember(call.team_id, key, result)
        # None: it had been booked, and only the answer to that was lost.
        uid = closed.entry_uid if closed is not None else call.generation_uid
        return dataclasses.replace(result, generation_uid=uid)

    async def aclose(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await ledger.__aexit__(None, None, None)

    async def _reserve(self, attempt: Attempt) -> None:
        known = known_prices.known(attempt.call)
        hold = attempt.hold(uid=new_uid().hex, leaves=True)
        ledger = await self._open()
        attempt.took(await ledger.reserve(hold, time_zone=known.time_zone if known is not None else None))

    async def _open(self) -> AsyncLedger:
        if self._ledger is None:
            async with self._opening:
                if self._ledger is None:
                    ledger = AsyncLedger(await in_database(connection_string))
                    self._ledger = await ledger.__aenter__()
        return self._ledger


def fastest_books() -> Books:
    """Those of a process that does little but call models. A pool is worth its connections there."""
    return PooledBooks() if connection.vendor == "postgresql" else ThreadBooks()


def _hit_of(call: MeteredCall, hit: MeteredResult) -> Hit:
    return Hit(
        team_id=call.team_id,
        experiment_id=call.experiment_id,
        language_model_id=call.language_model.id,
        purpose=call.purpose,
        saved_nanousd=hit.original_cost_nanousd,
        prompt_tokens=hit.prompt_tokens,
        completion_tokens=hit.completion_tokens,
        latency_ms=hit.latency_ms,
        person_id=call.person_id,
        api_key_id=call.api_key_id,
        uid=call.generation_uid,
    )


def _from_cache(call: MeteredCall, key: str) -> MeteredResult | None:
    hit = cache.find(call.team_id, key)
    if hit is None:
        return None
    # The entry that explains the answer and what is stored of it exist both or not at all.
    with transaction.atomic():
        uid = ledger_runner.book_hit(_hit_of(call, hit))
        hit = dataclasses.replace(hit, generation_uid=uid, language_model_id=call.language_model.id)
        if call.store is not None:
            call.store(hit)
            fault_point("hit")
    return hit
