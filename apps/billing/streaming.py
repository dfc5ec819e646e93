"""Handing on an answer while it comes, and finding out what it cost when nobody listens any more."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from django.utils.translation import gettext_noop

from apps.billing.attempts import Attempt
from apps.billing.books import Books
from apps.billing.calls import MeteredResult
from apps.core.faults import fault_point
from apps.providers.engine.clients.base import (
    BadAnswer,
    Client,
    ConnectionFailed,
    Finished,
    GenerateResult,
    StreamEvent,
    Timeout,
)

# After the caller has left, the rest of an answer is read for so long, to learn what it cost.
DRAIN_SECONDS = 10.0
# Pieces that wait for a slow caller, before the provider has to wait too.
PIECES_AHEAD = 64

Piece = StreamEvent | MeteredResult


async def leave(books: Books, attempt: Attempt) -> None:
    """Say in the books that the request leaves now. ConnectionFailed if somebody has given the attempt up."""
    if not await books.leave(attempt):
        raise ConnectionFailed(gettext_noop("The attempt was given up before it was sent."), sent=False)


def too_late(attempt: Attempt) -> Timeout:
    return Timeout(gettext_noop("No complete answer within %(seconds)s s."), seconds=f"{attempt.timeout_seconds:g}")


class Pump:
    """One attempt at a streamed answer: reads the provider in a task of its own, and is read by the caller."""

    def __init__(self, client: Client, books: Books) -> None:
        self._client = client
        self._books = books
        self._ready: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue(PIECES_AHEAD)
        self._left = False
        self._limit: asyncio.Timeout | None = None
        # Whether the caller has seen a piece; the attempt cannot be repeated then.
        self.handed_on = False
        # Seconds until another attempt makes sense, when this one brought nothing.
        self.wait_seconds: float | None = None

    # --- the caller's side

    async def pieces(self) -> AsyncIterator[Piece]:
        """Everything that comes, the result last. Raises what the attempt raised."""
        while True:
            piece = await self._ready.get()
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def leave(self) -> None:
        """Nobody reads on. The provider is read for a short while more; what it sends is dropped."""
        self._left = True
        while not self._ready.empty():
            self._ready.get_nowait()
        if self._limit is not None:
            self._shorten(self._limit)

    # --- the provider's side

    async def run(self, attempt: Coroutine[Any, Any, MeteredResult | float]) -> None:
        """Carry the attempt out and hand on how it ended."""
        try:
            outcome = await attempt
        except Exception as error:
            await self._put(error)
            return
        if isinstance(outcome, MeteredResult):
            await self._put(outcome)
        else:
            self.wait_seconds = outcome
        await self._put(None)

    async def read(self, attempt: Attempt) -> GenerateResult:
        """The whole answer, its pieces handed on as they come."""
        if self._left:
            raise ConnectionFailed(gettext_noop("The caller left before the request was sent."), sent=False)
        await leave(self._books, attempt)
        try:
            # The client's own timeout comes first: it knows whether the request had left.
            async with asyncio.timeout(attempt.timeout_seconds + 1) as self._limit:
                with self._limited():
                    return await self._whole(attempt)
        except TimeoutError as error:
            if self._left:
                raise Timeout(
                    gettext_noop("The caller left, and the answer did not end within %(seconds)s s."),
                    seconds=f"{DRAIN_SECONDS:g}",
                ) from error
            raise too_late(attempt) from error

    async def _whole(self, attempt: Attempt) -> GenerateResult:
        async with aclosing(self._client.stream(attempt.call.request)) as events:
            async for event in events:
                fault_point("call")
                if isinstance(event, Finished):
                    return event.result
                await self._put(event)
        raise BadAnswer(gettext_noop("The answer ended before it was complete."))

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """While the provider is read, its time may be shortened."""
        try:
            if self._left and self._limit is not None:
                self._shorten(self._limit)
            yield
        finally:
            self._limit = None

    def _shorten(self, limit: asyncio.Timeout) -> None:
        until = asyncio.get_running_loop().time() + DRAIN_SECONDS
        if not limit.expired():
            limit.reschedule(min(until, limit.when() or until))

    def evidence(self) -> str:
        return "The caller left before the answer ended; the rest was read to learn its cost." if self._left else ""

    async def _put(self, piece: Piece | BaseException | None) -> None:
        if self._left:
            return
        await self._ready.put(piece)
        self.handed_on = self.handed_on or not isinstance(piece, BaseException | MeteredResult | None)
