"""`GET /t/<team>/events/?topic=experiment:<uid>`: server-sent events in plain ASGI (docs/live-updates.md)."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from llmopt.edge import metrics
from llmopt.edge.asgi_types import SECURITY_HEADERS, Receive, Scope, Send, header_of, headers_of, refuse
from llmopt.edge.events_store import Listener, events_after, listener_of, newest_id, replay
from llmopt.edge.hub import WHOLE_TEAM, Event, Hub, Subscriber, latest_of_each_part
from llmopt.edge.routes import EVENTS

_TOPIC = re.compile(rf"^([a-z_]{{1,40}}:[0-9a-f-]{{36}}|{WHOLE_TEAM})$")
_PART = re.compile(r"^[A-Za-z0-9_-]{1,40}$")
_MOST_TOPICS = 20
PING_SECONDS = 10.0
RECHECK_SECONDS = 180.0
# Sent instead of what was forgotten: the page asks for all of itself again.
MISSED = "missed"
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # A proxy that collects a response before it passes it on would hold every event back.
    (b"x-accel-buffering", b"no"),
    *SECURITY_HEADERS,
]


@dataclass(frozen=True)
class Question:
    """What a client asks to hear."""

    team_slug: str
    topics: frozenset[str]
    after: int | None
    cookies: str


@dataclass
class EventStreams:
    """The endpoint, with its hub and the few threads that look up who is listening."""

    ping_seconds: float = PING_SECONDS
    recheck_seconds: float = RECHECK_SECONDS
    most_streams: int = field(default_factory=lambda: int(os.environ.get("LLMOPT_MAX_EVENT_STREAMS", "1000")))
    hub: Hub | None = None
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="listeners"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await refuse(send, 405, "Events can only be read.", headers=[(b"allow", b"GET")])
            return
        question = question_of(scope)
        if question is None:
            await refuse(send, 400, f"Name one to {_MOST_TOPICS} topics, such as ?topic=experiment:<uid>.")
            return
        hub = self._open_hub()
        if len(hub) >= self.most_streams or hub.closed:
            await refuse(send, 503, "Too many streams are open.", headers=[(b"retry-after", b"10")])
            return
        listener = await self._listener(question)
        if listener.team_id is None:
            status, sentence = (404, "There is no such team here.") if listener.signed_in else (401, "Sign in first.")
            await refuse(send, status, sentence)
            return
        with metrics.STREAMS.track_inprogress():
            await self._stream(hub, question, listener.team_id, receive, send)

    def close(self) -> None:
        if self.hub is not None:
            self.hub.close()
        self._threads.shutdown(wait=False)

    def _open_hub(self) -> Hub:
        if self.hub is None:
            self.hub = Hub(events_after, newest_id)
        return self.hub

    async def _listener(self, question: Question) -> Listener:
        return await self._in_thread(partial(listener_of, question.cookies, question.team_slug))

    async def _stream(self, hub: Hub, question: Question, team_id: int, receive: Receive, send: Send) -> None:
        subscriber = Subscriber(team_id, question.topics)
        newest = await hub.subscribe(subscriber)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            sent = await self._replayed(question, team_id, newest, send)
            await self._follow(subscriber, question, sent, receive, send)
        finally:
            hub.unsubscribe(subscriber)

    async def _replayed(self, question: Question, team_id: int, newest: int, send: Send) -> frozenset[int]:
        """Send what the client missed. Returns the ids of that, which the hub may read as well.

        Not "everything up to an id": a transaction that was given a lower one may be committed later.
        """
        # An id without data is kept by the browser and triggers nothing: a reconnect then knows where it was.
        start = f"retry: 2000\nid: {newest}\n\n"
        if question.after is None:
            await _write(send, start)
            return frozenset()
        missed = await self._in_thread(partial(replay, team_id, sorted(question.topics), question.after))
        if missed is None:
            await _write(send, start + message(MISSED, "", newest))
            return frozenset()
        # Those that the hub has read meanwhile come in order and are not sent twice.
        last = max([newest, *(event.id for event in missed)])
        body = "".join(message_of(event) for event in latest_of_each_part(missed))
        await _write(send, f"retry: 2000\n\n{body}id: {last}\n\n")
        return frozenset(event.id for event in missed)

    async def _follow(
        self, subscriber: Subscriber, question: Question, sent: frozenset[int], receive: Receive, send: Send
    ) -> None:
        """Pass events on until the client leaves, falls behind, loses its right, or the server stops."""
        gone = asyncio.create_task(_disconnected(receive))
        ended = asyncio.create_task(subscriber.ended.wait())
        got: asyncio.Task[Event] = asyncio.create_task(subscriber.queue.get())
        recheck_at = time.monotonic() + self.recheck_seconds
        try:
            while True:
                await asyncio.wait({gone, ended, got}, timeout=self.ping_seconds, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() or ended.done():
                    return
                if got.done():
                    await _write(send, _batch(got.result(), subscriber, sent))
                    got = asyncio.create_task(subscriber.queue.get())
                else:
                    await _write(send, ": ping\n\n")
                if time.monotonic() >= recheck_at:
                    if (await self._listener(question)).team_id != subscriber.team_id:
                        return
                    recheck_at = time.monotonic() + self.recheck_seconds
        finally:
            for task in (gone, ended, got):
                task.cancel()
            await _write(send, "", more=False)

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


def question_of(scope: Scope) -> Question | None:
    """None when the topics do not have the right shape. `since` in the address stands in for Last-Event-ID."""
    match = EVENTS.match(scope["path"])
    query = parse_qs(scope["query_string"].decode("latin-1"))
    topics = query.get("topic", [])
    if match is None or not 0 < len(topics) <= _MOST_TOPICS or not all(_TOPIC.match(topic) for topic in topics):
        return None
    after = header_of(scope, b"last-event-id") or (query.get("since") or [""])[0]
    return Question(
        team_slug=match["team"],
        topics=frozenset(topics),
        after=int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None,
        cookies="; ".join(headers_of(scope, b"cookie")),
    )


def message_of(event: Event) -> str:
    return message(event.part, event.topic, event.id)


def message(name: str, data: str, number: int) -> str:
    """One event on the wire; a name that would break out of its line is sent as a general change."""
    return f"event: {name if _PART.match(name) else 'change'}\ndata: {data}\nid: {number}\n\n"


def _batch(first: Event, subscriber: Subscriber, sent: frozenset[int]) -> str:
    """Everything that waits and was not `sent` before, in one write."""
    events = [first]
    while not subscriber.queue.empty():
        events.append(subscriber.queue.get_nowait())
    return "".join(message_of(event) for event in latest_of_each_part(events) if event.id not in sent)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, text: str, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
