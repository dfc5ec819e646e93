"""A provider's server on a real socket, in a thread, that answers well or badly as each test says.

    with fake_openai() as server:
        server.script(Reply(status=429, headers={"Retry-After": "2"}), Reply("Fine."))
        ... two calls to server.url ...
        assert [seen.path for seen in server.requests] == ["/v1/chat/completions"] * 2

Requests are answered from the script, in turn; when it is used up, with `server.reply`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, Self

from aiohttp import web

KEY = "test-key-0123456789"


@dataclasses.dataclass(frozen=True)
class Reply:
    """What happens to one request. As it stands, a good answer of one text.

    `tools` are (name, arguments) that the model asks for; `usage` False leaves the counts out; words of `text` beyond
    the request's bound are cut off. `body` is sent as it is in the place of an answer. After `after` pieces (events of
    a stream, bytes of a whole answer) comes what `then` says: the connection closes, is reset, hangs, or the stream
    ends as if all were well. `error` (code, message) is sent in a stream after `after` events, and in the body of a
    `status` that is no success. `delay` seconds come before the answer, `between` seconds before each event. `huge`
    sends so many bytes that are no answer.
    """

    text: str = "Hello there, how are you?"
    tools: tuple[tuple[str, str], ...] = ()
    refuses: bool = False
    usage: bool = True
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None
    error: tuple[str, str] | None = None
    delay: float = 0.0
    between: float = 0.0
    after: int | None = None
    then: Literal["close", "reset", "hang", "end"] = "close"
    huge: int = 0


@dataclasses.dataclass(frozen=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: Any = None


class RefusedRequest(Exception):
    """What the real server would refuse the request for."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class FakeProvider(ABC):
    """Subclasses speak one provider's protocol; this is what all of them do with a connection."""

    #: Path of the API below the host.
    root = ""

    def __init__(self) -> None:
        self.reply = Reply()
        self.requests: list[Seen] = []
        self.at_once = self.most_at_once = 0
        self.key = KEY
        self._script: deque[Reply] = deque()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop: asyncio.Event | None = None
        self.port = 0

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these."""
        self._script.extend(replies)

    @property
    def url(self) -> str:
        """The base URL that a client is given."""
        return f"http://127.0.0.1:{self.port}{self.root}"

    @property
    def allowed(self) -> tuple[str, ...]:
        """What an operator allows, so that a client may call here."""
        return (f"127.0.0.1:{self.port}",)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    # What a protocol fills in.

    @abstractmethod
    def routes(self) -> list[web.RouteDef]: ...

    @abstractmethod
    def whole(self, seen: Seen, reply: Reply) -> dict[str, Any]: ...

    @abstractmethod
    def events(self, seen: Seen, reply: Reply) -> Iterator[bytes]: ...

    @abstractmethod
    def error(self, status: int, code: str, message: str) -> dict[str, Any]: ...

    @abstractmethod
    def error_event(self, code: str, message: str) -> bytes: ...

    @abstractmethod
    def check(self, seen: Seen) -> None:
        """Raise RefusedRequest for what the real server would not take."""

    # What happens on the socket.

    async def handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.path,
            {name.lower(): value for name, value in request.headers.items()},
            json.loads(await request.read() or b"null"),
            request.get_extra_info("peername"),
        )
        self.requests.append(seen)
        reply = self._script.popleft() if self._script else self.reply
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, seen, reply)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, seen: Seen, reply: Reply) -> web.StreamResponse:
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.body is None and reply.status == 200:
            try:
                self.check(seen)
            except RefusedRequest as refused:
                return _json(refused.status, self.error(refused.status, refused.code, refused.message), {})
        if reply.huge:
            return await self._huge(request, seen, reply)
        if reply.body is not None:
            return await self._bytes(request, reply, reply.body)
        if reply.status != 200:
            code, message = reply.error or ("", "")
            return _json(reply.status, self.error(reply.status, code, message), reply.headers)
        if seen.body.get("stream"):
            return await self._stream(request, seen, reply)
        return await self._bytes(request, reply, json.dumps(self.whole(seen, reply)).encode())

    async def _bytes(self, request: web.Request, reply: Reply, body: bytes) -> web.StreamResponse:
        headers = {"Content-Type": "application/json", **reply.headers}
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        if reply.after is None:
            await response.write(body)
        else:
            await response.write(body[: reply.after])
            await self._then(request, reply)
        return response

    async def _stream(self, request: web.Request, seen: Seen, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **reply.headers})
        await response.prepare(request)
        number = 0
        for event in self.events(seen, reply):
            if number == reply.after:
                break
            if reply.between:
                await asyncio.sleep(reply.between)
            await response.write(event)
            number += 1
        if number == reply.after:
            if reply.error is not None:
                await response.write(self.error_event(*reply.error))
            await self._then(request, reply)
        return response

    async def _huge(self, request: web.Request, seen: Seen, reply: Reply) -> web.StreamResponse:
        streamed = bool(seen.body.get("stream"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream" if streamed else "application/json"})
        await response.prepare(request)
        sent = 0
        padding = b"data: " + b"x" * 65_536 if streamed else b" " * 65_536
        while sent < reply.huge:
            await response.write(padding)
            sent += len(padding)
        return response

    async def _then(self, request: web.Request, reply: Reply) -> None:
        transport = request.transport
        if reply.then == "end" or transport is None:
            return
        if reply.then == "hang":
            assert self._stop is not None
            await self._stop.wait()
        if reply.then == "reset":
            transport.abort()
        else:
            transport.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()


def _json(status: int, body: dict[str, Any], headers: dict[str, str]) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def words(text: str, most: int) -> tuple[list[str], bool]:
    """The pieces that a text is streamed in, each a word with the space before it, and whether some were cut off."""
    pieces = [word if not number else f" {word}" for number, word in enumerate(text.split(" "))]
    return pieces[:most], len(pieces) > most


def count_words(*texts: object) -> int:
    """A token count that a test can do in its head."""
    return sum(len(str(text).split()) for text in texts if text)
