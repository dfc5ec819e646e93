"""How often somebody may do something: counted in the cache, so that processes which share one share the count."""

import ipaddress
import math
import time
from typing import TYPE_CHECKING

from django.core.cache import cache

from apps.core import shared_store

if TYPE_CHECKING:
    from redis.asyncio import Redis

WINDOW_SECONDS = 60


def admit(name: str, *, limit: int) -> int:
    """0 while `name` was admitted less than `limit` times in about the last minute; else the seconds to wait.

    Only what is admitted counts. A limit of 0 is none.
    """
    if limit <= 0:
        return 0
    minute, passed = divmod(time.time(), WINDOW_SECONDS)
    this, last = _key(name, minute), _key(name, minute - 1)
    counted = _one_more(this)
    wait = _wait(counted - 1, cache.get(last, 0), passed, limit)
    if wait:
        _one_less(this)
    return wait


async def admit_async(store: shared_store.AsyncStore, name: str, *, limit: int) -> int:
    """As `admit`, of the same counts, for an event loop: it waits for no socket."""
    if limit <= 0:
        return 0
    minute, passed = divmod(time.time(), WINDOW_SECONDS)
    this, last = (shared_store.name_of(_key(name, each)) for each in (minute, minute - 1))

    async def count(redis: "Redis") -> int | None:
        together = redis.pipeline(transaction=False)
        together.incr(this)
        together.expire(this, 2 * WINDOW_SECONDS)
        together.get(last)
        counted, _ends, before = await together.execute()
        wait = _wait(counted - 1, int(before or 0), passed, limit)
        if wait:
            await redis.decr(this)
        return wait

    wait = await store.ask(count, None)
    # Without Redis the counts are this process's own, and reading them takes no time.
    return admit(name, limit=limit) if wait is None else wait


def _wait(now: int, before: int, passed: float, limit: int) -> int:
    """Seconds to wait after `now` in this minute, of which `passed` seconds are over, and `before` in the last one.

    The last minute is this one and the part of the one before that is less than a minute ago.
    """
    if now + before * (1 - passed / WINDOW_SECONDS) < limit:
        return 0
    if now >= limit:
        # In the next minute what was counted in this one fades away.
        wait = WINDOW_SECONDS - passed + WINDOW_SECONDS * (now - limit) / now
    else:
        wait = WINDOW_SECONDS * (1 - (limit - now) / before) - passed
    return math.floor(wait) + 1


def _one_more(key: str) -> int:
    """How many it are with this one."""
    while not cache.add(key, 1, 2 * WINDOW_SECONDS):
        try:
            return int(cache.incr(key))
        except ValueError:
            # It ended between the two: then nothing of it counts any more.
            continue
    return 1


def _one_less(key: str) -> None:
    try:
        cache.decr(key)
    except ValueError:
        # Its minutes are over.
        return


def network_of(address: str) -> str:
    """Whose address this is: of IPv6 the half that a provider gives to one customer."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def _key(name: str, minute: float) -> str:
    return f"rate:{name}:{int(minute)}"
