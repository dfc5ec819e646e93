"""One reader of live events for the whole process, which hands them to every open stream."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.5
# An id that is missing may belong to a transaction that commits later; after this it was rolled back.
GAP_SECONDS = 15.0
_MOST_GAPS = 500
QUEUE_SIZE = 200
# The topic of a page that shows many objects: every event of the team.
WHOLE_TEAM = "team"


@dataclass(frozen=True)
class Event:
    id: int
    team_id: int
    topic: str
    part: str


# Reads events with an id above the first argument, or among the second.
Reader = Callable[[int, list[int]], list[Event]]


@dataclass(eq=False)
class Subscriber:
    """One open stream. `queue` is bounded: a client that does not read is let go, and asks again where it was."""

    team_id: int
    topics: frozenset[str]
    queue: "asyncio.Queue[Event]" = field(default_factory=lambda: asyncio.Queue(QUEUE_SIZE))
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def wants(self, event: Event) -> bool:
        return event.team_id == self.team_id and (event.topic in self.topics or WHOLE_TEAM in self.topics)

    def offer(self, event: Event) -> None:
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.ended.set()


class Hub:
    """Polls while somebody listens, in one thread; streams cost a queue each and no thread."""

    def __init__(self, read: Reader, newest: Callable[[], int], *, poll_seconds: float = POLL_SECONDS) -> None:
        self._read = read
        self._newest = newest
        self._poll_seconds = poll_seconds
        self._subscribers: set[Subscriber] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live-events")
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._last = 0
        self._gaps: dict[int, float] = {}
        self.closed = False

    def __len__(self) -> int:
        return len(self._subscribers)

    async def subscribe(self, subscriber: Subscriber) -> int:
        """Hand `subscriber` every event that is read from now on. Returns the newest id that it will not get."""
        async with self._starting:
            if self._task is None or self._task.done():
                await self._start()
            self._subscribers.add(subscriber)
            return self._last

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End every stream, so that a server that stops need not wait for them."""
        self.closed = True
        for subscriber in self._subscribers:
            subscriber.ended.set()
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False)

    async def _start(self) -> None:
        """Begin at the newest event, with the ids missing before it: theirs may be committed in a moment."""
        newest = await self._in_thread(self._newest)
        self._last, self._gaps = max(0, newest - _MOST_GAPS), {}
        just_before = await self._in_thread(lambda: self._read(self._last, []))
        self._note(just_before, time.monotonic())
        self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while self._subscribers:
            await asyncio.sleep(self._poll_seconds)
            try:
                events = await self._in_thread(lambda: self._read(self._last, list(self._gaps)))
            except Exception:
                # The database may be away for a while; streams stay open and get everything when it is back.
                log.exception("live events could not be read")
                continue
            self._note(events, time.monotonic())
            for event in latest_of_each_part(events):
                for subscriber in self._subscribers:
                    if subscriber.wants(event):
                        subscriber.offer(event)

    def _note(self, events: list[Event], now: float) -> None:
        """Move on to the newest id and remember which ids below it have not been seen yet."""
        for event in sorted(events, key=lambda event: event.id):
            self._gaps.pop(event.id, None)
            if event.id > self._last:
                missing = range(max(self._last + 1, event.id - _MOST_GAPS), event.id)
                self._gaps.update((number, now) for number in missing)
                self._last = event.id
        self._gaps = {number: since for number, since in self._gaps.items() if now - since < GAP_SECONDS}

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


def latest_of_each_part(events: list[Event]) -> list[Event]:
    """One event for each team, topic and part, the newest: a page fetches a part once, however often it changed."""
    newest = {(event.team_id, event.topic, event.part): event for event in sorted(events, key=lambda event: event.id)}
    return sorted(newest.values(), key=lambda event: event.id)
