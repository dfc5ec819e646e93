"""Chat completions over the wire for everything that speaks OpenAI's format, the local inference process included."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import (
    FINISH_REASONS,
    BadAnswer,
    ConnectionFailed,
    FinishReason,
    GenerateRequest,
    GenerateResult,
    Timeout,
    Usage,
)
from apps.providers.engine.clients.openai_errors import classify

MAX_ANSWER_BYTES = 8 * 1024 * 1024
#: Below the 60 s and more after which servers close idle connections: a request written into a closing connection
#: cannot be told from one that was served.
KEEP_ALIVE_SECONDS = 15.0


@dataclass(slots=True)
class _Attempt:
    """Whether a connection was there to write to; from then on the request counts as sent."""

    sent: bool = False


class OpenAICompatibleClient:
    """POSTs to ``{base_url}/chat/completions``. Opens its connections in the event loop of the first call.

    ``total_seconds`` bounds one attempt, ``connect_seconds`` the wait for a connection.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        total_seconds: float = 120.0,
        connect_seconds: float = 5.0,
        max_connections: int = 100,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        if not re.fullmatch(r"https?://[^\s?#]+", base_url):
            raise ValueError("The base URL must begin with http:// or https:// and have no query.")
        if not re.fullmatch(r"[!-~]*", api_key):
            raise ValueError("The key holds characters that no key has; copy it again.")
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout = aiohttp.ClientTimeout(total=total_seconds, connect=connect_seconds)
        self._total_seconds = total_seconds
        self._max_connections = max_connections
        self._max_answer_bytes = max_answer_bytes
        self._session: aiohttp.ClientSession | None = None

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """One attempt; raises a ``ProviderError``."""
        attempt = _Attempt()
        started = time.perf_counter()
        try:
            status, headers, body = await self._post(orjson.dumps(request_body(request)), attempt)
        except TimeoutError as error:
            raise self._timed_out(attempt) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _connection_failed(attempt) from error
        latency_ms = (time.perf_counter() - started) * 1000
        request_id = headers.get("x-request-id", "")
        if status != 200:
            raise classify(status, headers, body, request_id=request_id)
        return read_completion(body, latency_ms=latency_ms, request_id=request_id)

    async def aclose(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, body: bytes, attempt: _Attempt) -> tuple[int, Mapping[str, str], bytes]:
        session = self._open_session()
        async with session.post(
            self._url, data=body, headers=self._headers, allow_redirects=False, trace_request_ctx=attempt
        ) as response:
            return response.status, response.headers, await self._read_bounded(response)

    async def _read_bounded(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._max_answer_bytes:
                response.close()
                template = gettext_noop("The provider's answer is larger than %(most)s bytes; it was dropped.")
                raise BadAnswer(template, most=self._max_answer_bytes, status=response.status)
        return bytes(content)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=KEEP_ALIVE_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_connection_trace()],
            )
        return self._session

    def _timed_out(self, attempt: _Attempt) -> ConnectionFailed | Timeout:
        if not attempt.sent:
            return ConnectionFailed(
                gettext_noop("No connection to the provider in time; the request was not sent."), sent=False
            )
        return Timeout(
            gettext_noop("The provider gave no complete answer within %(seconds)s s."),
            seconds=f"{self._total_seconds:g}",
        )


def _connection_trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def connected(_session: Any, context: Any, _parameters: Any) -> None:
        context.trace_request_ctx.sent = True

    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return trace


def _connection_failed(attempt: _Attempt) -> ConnectionFailed:
    if not attempt.sent:
        return ConnectionFailed(gettext_noop("The provider cannot be reached; the request was not sent."), sent=False)
    return ConnectionFailed(gettext_noop("The connection to the provider broke before the answer was complete."))


def request_body(request: GenerateRequest) -> dict[str, object]:
    """The JSON body; optional parameters are left out when they are not set."""
    body: dict[str, object] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.top_p is not None:
        body["top_p"] = request.top_p
    return body


def read_completion(body: bytes, *, latency_ms: float, request_id: str) -> GenerateResult:
    """The result in a 200 answer; raises ``BadAnswer`` when it is not a complete chat completion."""
    try:
        content = orjson.loads(body)
        choice = content["choices"][0]
        text, finish_reason = _text_and_reason(choice["message"], choice["finish_reason"])
        usage = content["usage"]
        return GenerateResult(
            text=text,
            finish_reason=finish_reason,
            usage=_usage(usage),
            latency_ms=latency_ms,
            compute_seconds=_own_seconds(usage, "compute_seconds"),
            queue_seconds=_own_seconds(usage, "queue_seconds"),
            model_reported=_string(content.get("model")),
            request_id=request_id or _string(content.get("id")),
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        template = gettext_noop("The provider's answer is not a complete chat completion with usage.")
        raise BadAnswer(template, status=200, request_id=request_id) from error


def _text_and_reason(message: dict[str, Any], reason: object) -> tuple[str, FinishReason]:
    if reason == "function_call":
        reason = "tool_calls"
    if reason not in FINISH_REASONS:
        raise ValueError(f"unknown finish reason {reason!r}")
    text = message.get("content")
    if text is None and isinstance(message.get("refusal"), str):
        return message["refusal"], "content_filter"
    if text is None and reason in ("content_filter", "tool_calls"):
        text = ""
    if not isinstance(text, str):
        raise TypeError("content is not text")
    return text, reason


def _usage(usage: dict[str, Any]) -> Usage:
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    return Usage(
        prompt_tokens=_count(usage["prompt_tokens"]),
        completion_tokens=_count(usage["completion_tokens"]),
        cached_prompt_tokens=_count(prompt_details.get("cached_tokens") or 0),
        reasoning_tokens=_count(completion_details.get("reasoning_tokens") or 0),
    )


def _own_seconds(usage: dict[str, Any], name: str) -> float | None:
    """A duration from our own extension; other providers do not send it."""
    seconds = (usage.get("llmopt") or {}).get(name)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError(f"{name} is not a duration")
    return float(seconds)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of tokens")
    return value


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
