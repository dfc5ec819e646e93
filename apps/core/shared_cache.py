"""Django's cache in Redis or Valkey, and in this process's own memory while that does not answer."""

import json
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

from apps.core import shared_store

# As many as without Redis.
ALONE_ENTRIES = 5000


class JsonSerializer:
    """What is kept is JSON: nothing that is read from there can run. Whole numbers stay as they are, to be counted."""

    def dumps(self, value: Any) -> int | bytes:
        # bool is an int, and is none here.
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        try:
            return int(data)
        except ValueError:
            return json.loads(data)


def _shared_or_alone(name: str) -> Callable[..., Any]:
    """A method of the cache that asks Redis, and this process's memory when that does not answer."""

    def asked(self: "SharedCache", *given: Any, **named: Any) -> Any:
        if not shared_store.is_left_alone():
            try:
                found = getattr(RedisCache, name)(self, *given, **named)
            except Exception as error:
                if not shared_store.is_no_answer(error):
                    raise
                shared_store.leave_alone(error)
            else:
                shared_store.answered()
                return found
        return getattr(self.alone, name)(*given, **named)

    return asked


class SharedCache(RedisCache):
    """Counts and answers that every process sees, as long as Redis answers."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        from redis.retry import Retry

        options = {
            **shared_store.connection_options(retry=Retry),
            "serializer": JsonSerializer,
            **params.get("OPTIONS", {}),
        }
        options["pool_class"] = "redis.BlockingConnectionPool"
        super().__init__(server, {**params, "OPTIONS": options})
        self.alone = LocMemCache("while redis is away", {"OPTIONS": {"MAX_ENTRIES": ALONE_ENTRIES}})

    add = _shared_or_alone("add")
    get = _shared_or_alone("get")
    set = _shared_or_alone("set")
    touch = _shared_or_alone("touch")
    delete = _shared_or_alone("delete")
    get_many = _shared_or_alone("get_many")
    has_key = _shared_or_alone("has_key")
    incr = _shared_or_alone("incr")
    set_many = _shared_or_alone("set_many")
    delete_many = _shared_or_alone("delete_many")
    clear = _shared_or_alone("clear")
