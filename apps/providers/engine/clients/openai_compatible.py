"""Chat completions over the wire for everything that speaks OpenAI's format, the local inference process included."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator

import aiohttp
from yarl import URL

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import (
    BadAnswer,
    Finished,
    GenerateRequest,
    GenerateResult,
    ProviderError,
    StreamEvent,
)
from apps.providers.engine.clients.chat_wire import StreamedChat, encode, read_completion, request_body
from apps.providers.engine.clients.connections import Attempt, Connections, Limits, drain
from apps.providers.engine.clients.errors import classify
from apps.providers.engine.clients.refusing import check_parameters
from apps.providers.engine.clients.sse import EventReader
from apps.providers.engine.gate import Gate

BASE_URL = re.compile(r"https?://[^\s?#]+")
#: What a header can carry as a bearer token.
KEY = re.compile(r"[!-~]*")


class OpenAICompatibleClient:
    """POSTs to ``{base_url}/chat/completions``. Opens its connections in the event loop of the first call.

    ``total_seconds`` bounds one attempt, ``connect_seconds`` the wait for a connection. ``gate`` checks where a base
    URL that a user gave leads; without it the base URL is the operator's own. ``provider`` is
    ``openai`` for OpenAI itself, which has renamed the bound of the answer and refuses parameters for some models.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        total_seconds: float = 120.0,
        connect_seconds: float = 5.0,
        max_connections: int = 500,
        limits: Limits | None = None,
        gate: Gate | None = None,
        provider: str = "compatible",
    ) -> None:
        if not BASE_URL.fullmatch(base_url):
            raise ValueError("The base URL must begin with http:// or https:// and have no query.")
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **bearer(api_key),
        }
        self._stream_headers = self._headers | {"Accept": "text/event-stream"}
        self._url = URL(base_url.rstrip("/") + "/chat/completions")
        self._key = api_key
        self._provider = provider
        self._limits = limits or Limits(
            total_seconds=total_seconds, connect_seconds=connect_seconds, connections=max_connections
        )
        self._connections = Connections(self._limits, gate)

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """One attempt; raises a ``ProviderError``."""
        data = encode(self._body(request))
        attempt = Attempt()
        started = time.perf_counter()
        try:
            async with self._connections.post(self._url, data, self._headers, attempt) as response:
                status, headers = response.status, response.headers
                body = await self._connections.read(response)
        except (aiohttp.ClientError, OSError) as error:
            raise self._connections.failure(error, attempt) from error
        latency_ms = (time.perf_counter() - started) * 1000
        request_id = headers.get("x-request-id", "")
        if status != 200:
            raise classify(status, headers, body, request_id=request_id, secret=self._key)
        return read_completion(body, latency_ms=latency_ms, request_id=request_id, secret=self._key)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        """One attempt, in pieces; raises a ``ProviderError``."""
        body = self._body(request)
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
        data = encode(body)
        attempt = Attempt()
        answer = StreamedChat(most_characters=self._limits.answer_bytes, secret=self._key)
        try:
            async with self._connections.post(self._url, data, self._stream_headers, attempt, stream=True) as response:
                await self._check_status(response)
                answer.request_id = response.headers.get("x-request-id", "")
                reader = EventReader(self._limits)
                async for chunk in response.content.iter_any():
                    for event in answer.read(reader.feed(chunk)):
                        yield event
                    if answer.failure is not None:
                        raise answer.failure
                    if answer.ended:
                        await drain(response)
                        break
                else:
                    for event in answer.read(reader.finish()):
                        yield event
                    if answer.failure is not None:
                        raise answer.failure
        except (aiohttp.ClientError, OSError) as error:
            if not answer.complete:
                failure = self._connections.failure(error, attempt)
                failure.partial = answer.partial()
                raise failure from error
        except ProviderError as error:
            error.partial = answer.partial()
            raise
        yield Finished(self._finished(answer))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.close()

    def _body(self, request: GenerateRequest) -> dict[str, object]:
        if self._provider != "openai":
            return request_body(request)
        check_parameters(request, "openai")
        return request_body(request, "max_completion_tokens")

    async def _check_status(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        body = await self._connections.read(response)
        request_id = response.headers.get("x-request-id", "")
        raise classify(response.status, response.headers, body, request_id=request_id, secret=self._key)

    def _finished(self, answer: StreamedChat) -> GenerateResult:
        try:
            return answer.result()
        except ValueError as error:
            template = gettext_noop("The provider's stream ended before its answer was complete.")
            raise BadAnswer(template, status=200, request_id=answer.request_id, partial=answer.partial()) from error


def bearer(api_key: str) -> dict[str, str]:
    """The header that carries a key; raises ``ValueError``, without the key in it, for a key that no header holds."""
    if not KEY.fullmatch(api_key):
        raise ValueError("The key holds characters that no key has; copy it again.")
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}
