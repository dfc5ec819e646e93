"""Lets a provider's own SDK send through our connections, so that it obeys their limits and checks.

Imported only together with an SDK: httpx2 takes a while to load.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx2

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import BadAnswer, ProviderError
from apps.providers.engine.clients.connections import DRAIN_SECONDS, Attempt, Connections, too_large

#: What goes out of an SDK's headers. The rest describes the machine and its environment, which is nobody's business.
_HEADERS = frozenset({"accept", "anthropic-beta", "anthropic-version", "authorization", "content-type", "user-agent"})


#: What the SDKs raise, beside their own errors, on bytes that are no answer of their provider's. They validate nothing.
SHAPE_ERRORS: tuple[type[Exception], ...] = (
    AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError, httpx2.HTTPError, httpx2.InvalidURL,
)  # fmt: skip
_AFTER_THE_END: tuple[type[Exception], ...] = (TimeoutError, ProviderError, *SHAPE_ERRORS)


def http_client(connections: Connections) -> httpx2.AsyncClient:
    """An httpx2 client for an SDK that sends nothing but through these connections."""
    return httpx2.AsyncClient(
        transport=_Transport(connections), trust_env=False, follow_redirects=False, timeout=None, event_hooks={}
    )


def own_error(error: BaseException) -> ProviderError | None:
    """The error of our connections that an SDK has wrapped into one of its own."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ProviderError):
        seen = seen.__cause__ or seen.__context__
    return seen


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name: value for name, value in request.headers.items() if name in _HEADERS}
        headers["Accept-Encoding"] = "identity"
        # A wait for the next piece is what the clients set for a stream, and for nothing else.
        stream = (request.extensions.get("timeout") or {}).get("read") is not None
        attempt = Attempt()
        body = await request.aread()
        try:
            response = await self._connections.post(
                str(request.url), body, headers, attempt, stream=stream
            ).__aenter__()
        except (aiohttp.ClientError, OSError) as error:
            raise self._connections.failure(error, attempt) from error
        return httpx2.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(self._connections, response, attempt),
            request=request,
        )

    async def aclose(self) -> None:
        await self._connections.close()


class _Body(httpx2.AsyncByteStream):
    """A response's bytes, as long as they stay within the limits."""

    def __init__(self, connections: Connections, response: aiohttp.ClientResponse, attempt: Attempt) -> None:
        self._connections, self._response, self._attempt = connections, response, attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        limits, response = self._connections.limits, self._response
        streamed = response.status == 200 and response.content_type == "text/event-stream"
        most = limits.stream_bytes if streamed else limits.answer_bytes
        size = line = 0
        try:
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > most:
                    raise too_large(most, response.status)
                if streamed:
                    end = chunk.rfind(b"\n")
                    line = line + len(chunk) if end < 0 else len(chunk) - end
                    if line > limits.line_bytes:
                        template = gettext_noop(
                            "A line of the provider's stream is larger than %(most)s bytes; it was dropped."
                        )
                        raise BadAnswer(template, most=limits.line_bytes, status=200)
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise self._connections.failure(error, self._attempt) from error

    async def aclose(self) -> None:
        if not self._response.content.at_eof():
            self._response.close()
        await self._response.__aexit__(None, None, None)


async def let_end(events: AsyncIterator[Any]) -> None:
    """Read what follows the last event of a whole answer, so that its connection can be used again; not for long."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _event in events:
                pass
    except _AFTER_THE_END:
        return


def refusal_parts(error: Any) -> tuple[int, Any, bytes]:
    """Status, headers and body of an SDK's status error."""
    response: httpx2.Response = error.response
    try:
        body = response.content
    except httpx2.ResponseNotRead:
        body = b""
    return response.status_code, response.headers, body


def unreadable(error: Exception) -> BadAnswer:
    """The error for an answer that the SDK, or the reading of what it gave, stumbled over."""
    failure = BadAnswer(gettext_noop("The provider's answer is none that its own library can read."), status=200)
    if isinstance(error, SHAPE_ERRORS):
        failure.__cause__ = error
    return failure
