"""The one way to call a model: hold money, call, settle; retries, limits of a provider and cached answers included.

Each attempt has a reservation of its own. It is released when the request provably never left, settled when an answer
came (a refusal costs nothing), and booked at its bound when nobody knows. What the caller wants to keep is stored in
the transaction that books the answer, so that neither can exist without the other.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.billing import cache
from apps.billing.attempts import Attempt, NoRoom
from apps.billing.books import Books, ThreadBooks
from apps.billing.calls import INFRASTRUCTURE, MeteredCall, MeteredResult, ModelFacts
from apps.billing.connections import Connection, Connections, OpenAIAPI
from apps.billing.engine.ledger import WaitReason
from apps.billing.engine.retry import delay_seconds
from apps.billing.errors import BudgetExceeded, CallPostponed, UnknownPrice
from apps.billing.flights import Flights, Turn
from apps.billing.models import Price
from apps.billing.streaming import Pump, leave, too_late
from apps.core.faults import fault_point
from apps.providers.engine.clients.base import (
    AnswerFormat,
    Client,
    GenerateRequest,
    GenerateResult,
    ProviderError,
    RateLimited,
    StreamEvent,
    TextDelta,
    Tool,
    ToolCallDelta,
    UseTool,
)
from apps.providers.engine.messages import Message

__all__ = [
    "INFRASTRUCTURE",
    "AnswerFormat",
    "BudgetExceeded",
    "CallPostponed",
    "GenerateRequest",
    "Message",
    "MeteredCall",
    "MeteredResult",
    "Metering",
    "ModelFacts",
    "StreamEvent",
    "TextDelta",
    "Tool",
    "ToolCallDelta",
    "UnknownPrice",
    "UseTool",
]

log = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 120.0
# Longer than a killed inference process needs to come back and load its model.
DEADLINE_SECONDS = 300.0
STOP_LOOK_SECONDS = 0.5

NO_ROOM: dict[WaitReason, str] = {
    "concurrency": gettext_noop("As many calls are under way with this provider's key as it may have at once."),
    "requests_per_minute": gettext_noop("As many calls were made with this provider's key as a minute may have."),
    "asked_to_wait": gettext_noop("The provider has asked for no further calls for a while."),
    "provider_failing": gettext_noop("The provider failed several times in a row and is left alone for a while."),
}

# How an attempt gets its answer, once money is held for it.
Read = Callable[[Attempt], Awaitable[GenerateResult]]


class Metering:
    """Calls models for one running piece of work, and keeps their connections until it ends.

    `clients` may give ready clients by served name, for tests of everything around them. Once `should_stop` says so, no
    further attempt is begun: a call that would need one raises CallPostponed. `books` and `openai_api` are for
    processes that do little but call models: where attempts are booked, and which of OpenAI's two APIs comes first.
    """

    def __init__(
        self,
        *,
        clients: dict[str, Client] | None = None,
        call_timeout_seconds: float = CALL_TIMEOUT_SECONDS,
        deadline_seconds: float = DEADLINE_SECONDS,
        should_stop: Callable[[], bool] = lambda: False,
        books: Books | None = None,
        openai_api: OpenAIAPI = "",
        rng: random.Random | None = None,
    ) -> None:
        self._connections = Connections(
            ready=clients or {}, timeout_seconds=call_timeout_seconds, openai_api=openai_api
        )
        self._books = books or ThreadBooks()
        self._call_timeout_seconds = call_timeout_seconds
        self._deadline_seconds = deadline_seconds
        self._should_stop = should_stop
        self._flights = Flights(self._wait)
        self._streams: set[asyncio.Task[None]] = set()
        # Only spreads retries over time; no result depends on it.
        self._rng = rng or random.Random()  # noqa: S311 - not used for secrets

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What nobody listens to any more still has to be booked.
        if self._streams:
            await asyncio.wait(self._streams)
        await self._connections.aclose()
        await self._flights.aclose()
        await self._books.aclose()

    async def generate(self, call: MeteredCall) -> MeteredResult:
        """Make one call, retrying what another attempt can mend, and store its result.

        Raises BudgetExceeded when a budget has no room, UnknownPrice for a model without a price, TextMayNotLeave, and
        CallPostponed; then nothing is stored. Every other failure comes back as a result with `error`.
        """
        key = cache.cache_key(call)
        async with self._turn(call, key) as turn:
            if turn.found is not None:
                return turn.found
            result = await self._answered(call, key)
            turn.answered = not result.error
        if call.fallback is not None and result.error == INFRASTRUCTURE:
            return replace(await self.generate(_stand_in(call, call.fallback)), stands_in=True)
        return result

    async def stream(self, call: MeteredCall) -> AsyncGenerator[StreamEvent | MeteredResult, None]:
        """Make one call and hand on its pieces as they come; the last thing handed on is the whole result.

        Retries what can be mended until the first piece has been handed on. A caller that leaves early is not waited
        for: the answer is read on for a short while, so that what it cost is known, and booked. Raises what `generate`
        raises. Close it when you leave: `async with aclosing(metering.stream(call)) as pieces`.
        """
        key = cache.cache_key(call)
        began, stands_in = False, call.fallback is not None
        async with self._turn(call, key) as turn, aclosing(self._found_or_streamed(turn.found, call, key)) as pieces:
            async for piece in pieces:
                if isinstance(piece, MeteredResult):
                    turn.answered = not piece.error
                    stands_in = stands_in and not began and piece.error == INFRASTRUCTURE
                    if stands_in:
                        break
                began = True
                yield piece
        if stands_in and call.fallback is not None:
            async with aclosing(self.stream(_stand_in(call, call.fallback))) as pieces:
                async for piece in pieces:
                    yield replace(piece, stands_in=True) if isinstance(piece, MeteredResult) else piece

    # --- before a call

    @asynccontextmanager
    async def _turn(self, call: MeteredCall, key: str) -> AsyncIterator[Turn]:
        """Of equal calls at once the first is made, and the others wait to find its answer in the cache."""
        if not call.use_cache:
            yield Turn()
            return
        find = partial(self._books.hit, call, key)
        async with self._flights.turn((call.team_id, key), find, most_seconds=self._deadline_seconds) as turn:
            yield turn

    # --- attempts

    async def _answered(self, call: MeteredCall, key: str) -> MeteredResult:
        tries = await self._tries(call)
        while True:
            outcome = await self._attempt(tries, key, partial(self._send, tries.connection.client))
            if isinstance(outcome, MeteredResult):
                return outcome
            await self._wait(outcome)

    async def _found_or_streamed(
        self, found: MeteredResult | None, call: MeteredCall, key: str
    ) -> AsyncGenerator[StreamEvent | MeteredResult, None]:
        if found is not None:
            for piece in _pieces_of(found):
                yield piece
            return
        async with aclosing(self._streamed(call, key)) as pieces:
            async for piece in pieces:
                yield piece

    async def _streamed(self, call: MeteredCall, key: str) -> AsyncGenerator[StreamEvent | MeteredResult, None]:
        tries = await self._tries(call)
        while True:
            pump = Pump(tries.connection.client, self._books)
            # A task of its own: it goes on when the caller's is cancelled.
            work = asyncio.create_task(pump.run(self._attempt(tries, key, pump.read, pump)))
            self._streams.add(work)
            work.add_done_callback(self._streams.discard)
            try:
                async for piece in pump.pieces():
                    yield piece
            finally:
                pump.leave()
            if pump.wait_seconds is None:
                return
            await self._wait(pump.wait_seconds)

    async def _tries(self, call: MeteredCall) -> "_Tries":
        price = await self._books.price(call)
        connection = await self._connections.of(call)
        return _Tries(call, price, connection, asyncio.get_running_loop().time() + self._deadline_seconds)

    async def _attempt(self, tries: "_Tries", key: str, read: Read, pump: Pump | None = None) -> MeteredResult | float:
        """The result, or the seconds to wait before the next attempt."""
        attempt = Attempt(
            tries.call, tries.price, tries.number + 1, self._call_timeout_seconds, tries.connection.limits
        )
        async with tries.connection.slots:
            try:
                await self._books.reserve(attempt)
                tries.number += 1
                fault_point("reserve")
                answer = await read(attempt)
                return await self._books.settle(attempt, answer, key, pump.evidence() if pump else "")
            except NoRoom as error:
                return self._no_room(tries, attempt, error)
            except ProviderError as error:
                final = pump is not None and pump.handed_on
                return await self._failed(tries, attempt, error, final=final)
            except BaseException:
                # Cancelled, or a fault of ours: the money must not stay held for a call that nobody waits for.
                await self._books.abandon(attempt)
                raise

    async def _send(self, client: Client, attempt: Attempt) -> GenerateResult:
        await leave(self._books, attempt)
        answering = asyncio.ensure_future(client.generate(attempt.call.request))
        try:
            await asyncio.sleep(0)  # the request is on its way
            fault_point("call")
            # The client's own timeout comes first: it knows whether the request had left.
            async with asyncio.timeout(attempt.timeout_seconds + 1):
                return await answering
        except TimeoutError as error:
            raise too_late(attempt) from error
        finally:
            answering.cancel()

    async def _failed(
        self, tries: "_Tries", attempt: Attempt, error: ProviderError, *, final: bool
    ) -> MeteredResult | float:
        wait = delay_seconds(attempt.number, self._rng, getattr(error, "retry_after", None))
        again = error.retryable and not final and tries.has_time_for(wait)
        log.warning(
            "a model call failed",
            extra={"code": error.code, "purpose": attempt.call.purpose, "attempt": attempt.number, "again": again},
        )
        result = await self._books.fail(attempt, error, last=not again)
        return wait if result is None else result

    def _no_room(self, tries: "_Tries", attempt: Attempt, found: NoRoom) -> MeteredResult | float:
        # Those who wait must not all look again at once.
        wait = found.wait.seconds * self._rng.uniform(1.0, 1.5)
        if tries.has_time_for(wait):
            return wait
        return attempt.failure(RateLimited(NO_ROOM[found.wait.reason], sent=False, retry_after=found.wait.seconds))

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


@dataclass(slots=True)
class _Tries:
    """What every attempt at one call has in common."""

    call: MeteredCall
    price: Price
    connection: Connection
    deadline: float
    number: int = 0

    def has_time_for(self, seconds: float) -> bool:
        return asyncio.get_running_loop().time() + seconds < self.deadline


def _stand_in(call: MeteredCall, fallback: ModelFacts) -> MeteredCall:
    """The call as the fallback gets it."""
    request = replace(call.request, model=fallback.call_name)
    return replace(call, language_model=fallback, request=request, fallback=None)


def _pieces_of(hit: MeteredResult) -> Iterator[StreamEvent | MeteredResult]:
    if hit.text:
        yield TextDelta(hit.text)
    for index, tool_call in enumerate(hit.tool_calls):
        yield ToolCallDelta(index, tool_call.id, tool_call.name, tool_call.arguments)
    yield hit
