"""Of equal calls at once one is made, and the others find its answer in the cache: in a process, and with Redis in all.

Who waited and finds nothing, because the first one failed, makes its call by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.billing.calls import MeteredResult
from apps.core.models.base import new_uid
from apps.core.shared_store import AsyncStore, name_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

# The others wait no longer than this for a process that was killed.
LEASE_SECONDS = 10
RENEWED_SECONDS = 3.0
# For a process that looked into the cache just before the answer came, and asks only now.
ANSWERED_SECONDS = 5
FIRST_LOOK_SECONDS, MOST_LOOK_SECONDS = 0.02, 0.25
_ANSWERED = b"answered"
# No Redis; nobody has the turn.
_ABSENT, _GONE = b"", b"-"

# What the cache has; it books what it finds.
Find = Callable[[], Awaitable[MeteredResult | None]]


@dataclass(slots=True)
class Turn:
    """One call's. `found`: the answer that need not be asked for. Whoever asks sets `answered` once there is one."""

    found: MeteredResult | None = None
    answered: bool = False


@dataclass(slots=True)
class Flights:
    """Of one owner in one event loop. `pause` waits so many seconds, and raises where the work has to end."""

    pause: Callable[[float], Awaitable[None]]
    _under_way: dict[tuple[int, str], "asyncio.Future[None]"] = field(default_factory=dict)
    _store: AsyncStore = field(default_factory=AsyncStore)

    async def aclose(self) -> None:
        await self._store.aclose()

    @asynccontextmanager
    async def turn(self, place: tuple[int, str], find: Find, *, most_seconds: float) -> AsyncIterator[Turn]:
        """Wait up to `most_seconds` for equal calls that began before, and look for an answer."""
        async with self._here(place, most_seconds):
            turn = Turn(await find())
            if turn.found is not None:
                yield turn
                return
            async with self._everywhere(place, turn, most_seconds) as waited:
                if waited:
                    turn.found = await find()
                yield turn

    @asynccontextmanager
    async def _here(self, place: tuple[int, str], most_seconds: float) -> AsyncIterator[None]:
        before = self._under_way.get(place)
        if before is not None:
            await asyncio.wait([before], timeout=most_seconds)
            yield
            return
        done = self._under_way[place] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._under_way[place]
            done.set_result(None)

    @asynccontextmanager
    async def _everywhere(self, place: tuple[int, str], turn: Turn, most_seconds: float) -> AsyncIterator[bool]:
        """Whether another process had the turn, and so may have the answer. At once without Redis."""
        team_id, key = place
        name, ours = name_of(f"flight:{team_id}:{key}"), new_uid().bytes
        is_ours, waited = await self._take(name, ours, most_seconds)
        if not is_ours:
            yield waited
            return
        renewing = asyncio.create_task(self._renew(name, ours))
        try:
            yield waited
        finally:
            renewing.cancel()
            await self._give_back(name, ours, answered=turn.answered)

    async def _take(self, name: str, ours: bytes, most_seconds: float) -> tuple[bool, bool]:
        """Whether the turn is ours, and whether another process had it. Who has waited does not queue again."""

        async def take(redis: "Redis") -> bytes:
            # In two commands: before Redis 7 there is none that does both.
            together = redis.pipeline(transaction=False)
            together.set(name, ours, nx=True, ex=LEASE_SECONDS)
            together.get(name)
            return (await together.execute())[1] or _GONE

        async def look(redis: "Redis") -> bytes:
            return await redis.get(name) or _GONE

        found = await self._store.ask(take, _ABSENT)
        if found == ours:
            return True, False
        waited = found is not _ABSENT
        until, wait = asyncio.get_running_loop().time() + most_seconds, FIRST_LOOK_SECONDS
        while found not in (_GONE, _ABSENT, _ANSWERED) and asyncio.get_running_loop().time() < until:
            await self.pause(wait)
            wait = min(wait * 1.5, MOST_LOOK_SECONDS)
            found = await self._store.ask(look, _ABSENT)
        return False, waited

    async def _renew(self, name: str, ours: bytes) -> None:
        while True:
            await asyncio.sleep(RENEWED_SECONDS)
            # Also where Redis has lost it, as after a restart.
            await self._store.ask(lambda redis: redis.set(name, ours, ex=LEASE_SECONDS), None)

    async def _give_back(self, name: str, ours: bytes, *, answered: bool) -> None:
        async def give_back(redis: "Redis") -> None:
            if answered:
                await redis.set(name, _ANSWERED, ex=ANSWERED_SECONDS)
            elif await redis.get(name) == ours:
                await redis.delete(name)

        await self._store.ask(give_back, None)
