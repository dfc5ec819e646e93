"""Calling an ASGI application in a test, message by message."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from llmopt.edge.asgi_types import Application, Message, Scope

HOST = (b"host", b"localhost")


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


def scope_of(path: str, *, method: str = "GET", headers: Iterable[tuple[bytes, bytes]] = (HOST,), **more: Any) -> Scope:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        **more,
    }


async def call(app: Application, path: str, *, body: Iterable[bytes] = (b"",), **more: Any) -> Answer:
    """One whole request; its body comes in the given parts, and the client stays until it is answered."""
    parts = list(body)
    answer = Answer()

    async def receive() -> Message:
        if not parts:
            await asyncio.get_running_loop().create_future()
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {key.decode().lower(): value.decode() for key, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app(scope_of(path, **more), receive, send)
    return answer


class Stream:
    """A client that keeps an event stream open and collects what it is sent."""

    def __init__(
        self, app: Application, path: str, *, headers: Iterable[tuple[bytes, bytes]] = (), method: str = "GET"
    ) -> None:
        self.answer = Answer()
        self._left = asyncio.Event()
        self._changed = asyncio.Event()
        scope = scope_of(path, headers=[HOST, *headers], method=method)
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def until(self, wanted: str, *, seconds: float = 5.0) -> str:
        """Wait until `wanted` has arrived, and return everything so far."""
        async with asyncio.timeout(seconds):
            while wanted not in self.answer.text:
                self._changed.clear()
                await self._changed.wait()
        return self.answer.text

    async def leave(self) -> None:
        self._left.set()
        await asyncio.wait_for(self.task, 5)

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
        else:
            self.answer.body += message.get("body", b"")
        self._changed.set()
