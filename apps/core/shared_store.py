"""Redis or Valkey, where REDIS_URL names one: what several processes share beside the database.

Nothing depends on it. While it does not answer it is left alone for a moment, so that not everybody waits for it again,
and each process goes on with what it knows itself.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.core.cache import caches

# Imported where it is used: it takes 9 MB and a tenth of a second of every process, and most installations have none.
if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

log = logging.getLogger(__name__)

# It answers within a millisecond; whoever waits longer is better off without it.
ANSWER_SECONDS = 0.5
LEFT_ALONE_SECONDS = 2.0
CONNECTIONS = 32

_left_alone_until = float("-inf")
_away = False


def is_configured() -> bool:
    return bool(settings.REDIS_URL)


def is_left_alone() -> bool:
    """It did not answer a moment ago, so nobody asks now."""
    return time.monotonic() < _left_alone_until


def is_away() -> bool:
    """It has not answered since it last failed to."""
    return _away


# What a server says that is there and does nothing for us: its disk is full, its copies are gone.
_CANNOT_NOW = ("MISCONF", "NOREPLICAS")


def is_no_answer(error: Exception) -> bool:
    """Whether it could not be reached, or takes nothing from us now: nothing has to be mended in what was asked."""
    from redis import exceptions as redis

    refuses = (redis.ReadOnlyError, redis.OutOfMemoryError, redis.NoPermissionError)
    away = (redis.ConnectionError, redis.TimeoutError, redis.ClusterDownError, redis.MasterDownError)
    said = str(error) if isinstance(error, redis.ResponseError) else ""
    return isinstance(error, away + refuses) or any(word in said for word in _CANNOT_NOW)


def leave_alone(error: BaseException) -> None:
    """It did not answer. The type of the error is enough: its message may hold an address with a password."""
    global _left_alone_until, _away
    _left_alone_until = time.monotonic() + LEFT_ALONE_SECONDS
    if not _away:
        log.warning("redis does not answer; each process goes on by itself", extra={"error": type(error).__name__})
    _away = True


def answered() -> None:
    """It did answer."""
    global _left_alone_until, _away
    if _away:
        log.info("redis answers again")
    _left_alone_until, _away = float("-inf"), False


def connection_options(*, retry: Any) -> dict[str, Any]:
    """For every pool; `retry` is redis-py's class of that name, which threads and event loops have each their own of.

    A connection that broke while nobody used it is opened anew once; who hangs is not asked again.
    """
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as NoConnection

    return {
        "max_connections": CONNECTIONS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "retry": retry(NoBackoff(), 1, supported_errors=(NoConnection,)),
    }


class AsyncStore:
    """Redis for an event loop: of one owner, in the loop in which it is first asked, closed with its owner."""

    def __init__(self) -> None:
        self._client: Redis | None = None

    async def ask(self, work: "Callable[[Redis], Awaitable[T]]", without: T) -> T:
        """What `work` makes of it; `without` where there is none, or where it does not answer."""
        if not is_configured() or is_left_alone():
            return without
        try:
            found = await work(self._open())
        except Exception as error:
            if not is_no_answer(error):
                raise
            leave_alone(error)
            return without
        answered()
        return found

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
            await client.connection_pool.disconnect()

    def _open(self) -> "Redis":
        if self._client is None:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry

            pool = BlockingConnectionPool.from_url(settings.REDIS_URL, **connection_options(retry=Retry))
            self._client = Redis(connection_pool=pool)
        return self._client


def name_of(key: str) -> str:
    """As what the cache keeps `key` there."""
    name: str = caches["default"].make_key(key)
    return name
