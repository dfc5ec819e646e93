"""The way out: one pool of connections to one base URL, with its limits, and what its failures mean.

Every client sends through here, the ones that speak through a provider's own SDK included, so that a bound on an
answer, a refused address or a request that never left is the same thing for all of them. Nothing is taken from the
environment (no proxy, no ``.netrc``), no redirect is followed, no cookie is kept, and nothing is decompressed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import AddressRefused, BadAnswer, ConnectionFailed, ProviderError, Timeout
from apps.providers.engine.gate import Gate, HostRefused

#: Below the 60 s and more after which servers close idle connections: a request written into a closing connection
#: cannot be told from one that was served.
KEEP_ALIVE_SECONDS = 15.0
DRAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """What one attempt may take.

    ``total_seconds`` bounds it as a whole, ``connect_seconds`` the wait for a connection, ``silence_seconds`` the wait
    for the next piece of a stream. A whole answer is at most ``answer_bytes`` long, the text of a streamed one too; a
    stream with all its wrapping ``stream_bytes``, and one of its lines ``line_bytes``.
    """

    total_seconds: float = 120.0
    connect_seconds: float = 5.0
    silence_seconds: float = 60.0
    connections: int = 500
    answer_bytes: int = 8 * 1024 * 1024
    stream_bytes: int = 64 * 1024 * 1024
    line_bytes: int = 1024 * 1024


@dataclass(slots=True)
class Attempt:
    """Whether a connection was there to write to; from then on the request counts as sent."""

    sent: bool = False


class Connections:
    """Opens its connections in the event loop of the first call. Without a gate, the base URL is the operator's own."""

    def __init__(self, limits: Limits, gate: Gate | None = None) -> None:
        self.limits = limits
        self._gate = gate
        self._whole = aiohttp.ClientTimeout(total=limits.total_seconds, connect=limits.connect_seconds)
        self._stream = aiohttp.ClientTimeout(
            total=limits.total_seconds, connect=limits.connect_seconds, sock_read=limits.silence_seconds
        )
        self._session: aiohttp.ClientSession | None = None

    def post(
        self, url: URL | str, body: bytes, headers: dict[str, str], attempt: Attempt, *, stream: bool = False
    ) -> Any:
        """aiohttp's context manager of a response."""
        return (self._session or self._open()).post(
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=self._stream if stream else self._whole,
            trace_request_ctx=attempt,
        )

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body; raises ``BadAnswer`` for one that is too large."""
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self.limits.answer_bytes:
                response.close()
                raise too_large(self.limits.answer_bytes, response.status)
        return bytes(content)

    def failure(self, error: Exception, attempt: Attempt) -> ProviderError:
        """What an exception of aiohttp's means for the caller."""
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, HostRefused):
            template = gettext_noop(
                "The provider's address lies inside a network that requests do not go to; nothing was sent. Whoever "
                "operates this server can allow the host."
            )
            return AddressRefused(template, sent=False)
        if isinstance(error, TimeoutError):
            return self._timed_out(error, attempt)
        if not attempt.sent:
            return _unreachable(error)
        if isinstance(error, aiohttp.ClientResponseError):
            return BadAnswer(gettext_noop("The server's answer is no HTTP that can be read. Check the base URL."))
        return ConnectionFailed(gettext_noop("The connection to the provider broke before the answer was complete."))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _timed_out(self, error: TimeoutError, attempt: Attempt) -> ProviderError:
        if not attempt.sent:
            template = gettext_noop("No connection to the provider in time; the request was not sent.")
            return ConnectionFailed(template, sent=False)
        if isinstance(error, aiohttp.SocketTimeoutError):
            template = gettext_noop("The provider sent nothing for %(seconds)s s, and its answer was not complete.")
            return Timeout(template, seconds=f"{self.limits.silence_seconds:g}")
        template = gettext_noop("The provider gave no complete answer within %(seconds)s s.")
        return Timeout(template, seconds=f"{self.limits.total_seconds:g}")

    def _open(self) -> aiohttp.ClientSession:
        options: dict[str, Any] = {"limit": self.limits.connections, "keepalive_timeout": KEEP_ALIVE_SECONDS}
        self._session = aiohttp.ClientSession(
            connector=self._gate.connector(**options) if self._gate else aiohttp.TCPConnector(**options),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[_connection_trace()],
            trust_env=False,
            auto_decompress=False,
        )
        return self._session


async def drain(response: aiohttp.ClientResponse) -> None:
    """Read the little that follows the end of a stream, so that its connection can be used again.

    A server that goes on sending, or says nothing, loses the connection instead.
    """
    if response.content.at_eof():
        return
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await response.content.readany()
    except (TimeoutError, aiohttp.ClientError):
        response.close()


def _unreachable(error: Exception) -> ConnectionFailed:
    template = gettext_noop("The provider cannot be reached; the request was not sent.")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        template = gettext_noop("The name of the provider's host is not known; the request was not sent.")
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        template = gettext_noop("The certificate of the provider's server is not trusted; the request was not sent.")
    elif isinstance(error, aiohttp.ClientSSLError):
        template = gettext_noop("The provider's server does not answer with TLS (https); the request was not sent.")
    return ConnectionFailed(template, sent=False)


def too_large(most: int, status: int) -> BadAnswer:
    """The error for an answer that goes on and on."""
    template = gettext_noop("The provider's answer is larger than %(most)s bytes; it was dropped.")
    return BadAnswer(template, most=most, status=status)


def _connection_trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def connected(_session: Any, context: Any, _parameters: Any) -> None:
        context.trace_request_ctx.sent = True

    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return trace
