"""How often somebody may do something: counted in the cache, so that processes which share one share the count."""

import ipaddress
import math
import time

from django.core.cache import cache

WINDOW_SECONDS = 60


def seconds_to_wait(name: str, *, limit: int) -> int:
    """0 while `name` was counted less than `limit` times in about the last minute, else when to try again.

    A limit of 0 is none. The last minute is this one and the part of the one before that is less than a minute ago.
    """
    if limit <= 0:
        return 0
    minute, passed = divmod(time.time(), WINDOW_SECONDS)
    counts = cache.get_many([_key(name, minute), _key(name, minute - 1)])
    now, before = counts.get(_key(name, minute), 0), counts.get(_key(name, minute - 1), 0)
    if now + before * (1 - passed / WINDOW_SECONDS) < limit:
        return 0
    if now >= limit:
        # In the next minute what was counted in this one fades away.
        wait = WINDOW_SECONDS - passed + WINDOW_SECONDS * (now - limit) / now
    else:
        wait = WINDOW_SECONDS * (1 - (limit - now) / before) - passed
    return math.floor(wait) + 1


def count(name: str) -> None:
    """One more of `name`."""
    key = _key(name, time.time() // WINDOW_SECONDS)
    if not cache.add(key, 1, 2 * WINDOW_SECONDS):
        try:
            cache.incr(key)
        except ValueError:
            # It ended between the two: then nothing of it counts any more.
            cache.add(key, 1, 2 * WINDOW_SECONDS)


def network_of(address: str) -> str:
    """Whose address this is: of IPv6 the half that a provider gives to one customer."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def _key(name: str, minute: float) -> str:
    return f"rate:{name}:{int(minute)}"
