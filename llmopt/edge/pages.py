"""Handing a request to Django, within bounds on how many run at once and for how long."""

import asyncio
import logging
import os
from dataclasses import dataclass, field

from llmopt.edge.asgi_types import Application, Message, Receive, Scope, Send, header_of, refuse

log = logging.getLogger(__name__)


@dataclass
class Pages:
    """Django's application behind a gate.

    Each request of Django has a thread of its own; `at_once` bounds them. A view in a thread cannot be cancelled:
    waiting for it would block the event loop, so an overdue one is answered with 503 and goes on unheard, keeping its
    place. For the same reason Django is not told when a client leaves early.
    """

    django: Application
    at_once: int = 32
    seconds: float = 120.0
    _gate: asyncio.Semaphore | None = None
    _unheard: set["asyncio.Task[None]"] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._gate is None:
            self._gate = asyncio.Semaphore(self.at_once)
        answer = _Answer(send)
        task = asyncio.create_task(self._run(scope, receive, answer))
        try:
            done, _ = await asyncio.wait({task}, timeout=self.seconds)
        except asyncio.CancelledError:
            answer.closed = True
            self._keep(task)
            raise
        if done:
            task.result()
            return
        if answer.started:
            # A response that already streams may take longer than a page.
            await task
            return
        answer.closed = True
        self._keep(task)
        log.error("page took too long", extra={"path": scope["path"], "request_id": header_of(scope, b"x-request-id")})
        await refuse(send, 503, "This took too long and was given up. What it had begun may still finish.", close=True)

    async def _run(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        assert self._gate is not None
        async with self._gate:
            await self.django(scope, without_disconnect(receive), answer.send)

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
    started: bool = False
    closed: bool = False

    async def send(self, message: Message) -> None:
        if not self.closed:
            self.started = True
            await self.to(message)


def without_disconnect(receive: Receive) -> Receive:
    """The body as it comes; then nothing, even when the client has gone."""
    complete = False

    async def receiving() -> Message:
        nonlocal complete
        if complete:
            await asyncio.get_running_loop().create_future()
        message = await receive()
        complete = message["type"] == "http.request" and not message.get("more_body", False)
        return message

    return receiving


def pages_from_environment(django: Application) -> Pages:
    return Pages(
        django,
        at_once=int(os.environ.get("LLMOPT_PAGES_AT_ONCE", "32")),
        seconds=float(os.environ.get("LLMOPT_PAGE_SECONDS", "120")),
    )
