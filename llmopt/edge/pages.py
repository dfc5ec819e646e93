"""Handing a request to Django, within bounds on how many run at once and for how long."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from llmopt.edge.asgi_types import Application, Message, Receive, Scope, Send, header_of, refuse

log = logging.getLogger(__name__)


# What a form may send without waiting for a place: about what the server holds of a connection that nobody reads.
SMALL_BODY_BYTES = 64 * 1024


@dataclass
class Pages:
    """Django's application behind two gates.

    Each request of Django has a thread of its own; `at_once` bounds them. A view in a thread cannot be cancelled:
    waiting for it would block the event loop, so an overdue one is answered with 503 and goes on unheard, keeping its
    place. For the same reason Django is not told when a client leaves before the answer has begun. One that leaves a
    stream closes it: no thread works for it any more, so that it keeps no place among the pages either.

    Place and time begin when the body is there: a file on a slow line takes as long as the limits of a body allow, and
    keeps nobody from their pages. `bodies_at_once` bounds how many large bodies arrive side by side.
    """

    django: Application
    at_once: int = 32
    seconds: float = 120.0
    bodies_at_once: int = 32
    _pages: asyncio.Semaphore | None = None
    _bodies: asyncio.Semaphore | None = None
    _unheard: set["asyncio.Task[None]"] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._pages is None or self._bodies is None:
            self._pages, self._bodies = asyncio.Semaphore(self.at_once), asyncio.Semaphore(self.bodies_at_once)
        answer = _Answer(send)
        body = _Body(receive, self._bodies, self._pages, answer)
        task = asyncio.create_task(self._run(scope, body, answer))
        arrived = asyncio.create_task(body.arrived.wait())
        try:
            await asyncio.wait({task, arrived}, return_when=asyncio.FIRST_COMPLETED)
            done, _ = await asyncio.wait({task}, timeout=self.seconds)
        except asyncio.CancelledError:
            answer.closed = True
            self._keep(task)
            raise
        finally:
            arrived.cancel()
        if done:
            task.result()
            return
        if answer.started.is_set():
            # A response that already streams may take longer than a page.
            await task
            return
        answer.closed = True
        self._keep(task)
        log.error("page took too long", extra={"path": scope["path"], "request_id": header_of(scope, b"x-request-id")})
        await refuse(send, 503, "This took too long and was given up. What it had begun may still finish.", close=True)

    async def _run(self, scope: Scope, body: "_Body", answer: "_Answer") -> None:
        try:
            await body.begin()
            answer.streams = body.leave
            await self.django(scope, body.receive, answer.send)
        finally:
            body.leave()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._unheard.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._unheard.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a page that was given up failed", exc_info=task.exception())


@dataclass
class _Answer:
    """Passes a response on until it is closed."""

    to: Send
    started: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    # Called once it is clear that events are sent, as long as the client reads them.
    streams: Callable[[], None] = lambda: None

    async def send(self, message: Message) -> None:
        if not self.closed:
            if message["type"] == "http.response.start" and _is_event_stream(message):
                self.streams()
            self.started.set()
            await self.to(message)


def _is_event_stream(start: Message) -> bool:
    types = (value for name, value in start["headers"] if name.lower() == b"content-type")
    return any(value.startswith(b"text/event-stream") for value in types)


class _Body:
    """The body as it comes, then nothing until the answer has begun, even when the client has gone; and then that it
    has. Django reads it whole before anything else.

    Takes a place among the large bodies when it turns out to be one, and gives it up for a place among the pages when
    the last of it is there.
    """

    def __init__(self, receive: Receive, bodies: asyncio.Semaphore, pages: asyncio.Semaphore, answer: _Answer) -> None:
        self.arrived = asyncio.Event()
        self._answer = answer
        self._receive = receive
        self._bodies, self._pages = bodies, pages
        self._held: asyncio.Semaphore | None = None
        self._first: Message | None = None
        self._bytes = 0

    async def begin(self) -> None:
        """Wait for the first part, with which most requests are whole."""
        self._first = await self._next()

    async def receive(self) -> Message:
        message, self._first = self._first, None
        return await self._next() if message is None else message

    async def _next(self) -> Message:
        if self.arrived.is_set():
            await self._answer.started.wait()
            return await self._receive()
        if self._bytes > SMALL_BODY_BYTES and self._held is None:
            await self._enter(self._bodies)
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.leave()
            self.arrived.set()
            await self._enter(self._pages)
        return message

    async def _enter(self, gate: asyncio.Semaphore) -> None:
        await gate.acquire()
        self._held = gate

    def leave(self) -> None:
        """Give up the place that is held, if any."""
        if self._held is not None:
            self._held.release()
            self._held = None


def pages_from_environment(django: Application) -> Pages:
    return Pages(
        django,
        at_once=int(os.environ.get("LLMOPT_PAGES_AT_ONCE", "32")),
        seconds=float(os.environ.get("LLMOPT_PAGE_SECONDS", "120")),
    )
