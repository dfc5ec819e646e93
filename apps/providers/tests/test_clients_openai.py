"""The wire client against a real server on a real socket that misbehaves in every way that matters."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from apps.providers.engine.clients.base import (
    Auth,
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    ContentFilter,
    ContextTooLong,
    GenerateRequest,
    Overloaded,
    ProviderError,
    RateLimited,
    Timeout,
    Usage,
)
from apps.providers.engine.clients.connections import Limits
from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient
from apps.providers.engine.messages import Message

GOOD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "model": "m-2026",
    "choices": [{"message": {"role": "assistant", "content": "héllo"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "llmopt": {"compute_seconds": 0.25, "queue_seconds": 0.5},
    },
}
REQUEST = GenerateRequest(model="m", messages=(Message("user", "hi"),), max_tokens=5)


class Provider:
    """Answers each connection's requests with ``reply`` (raw bytes), then does what ``after`` says."""

    def __init__(self) -> None:
        self.reply = http(200, GOOD)
        self.after = "keep"  # keep, close, reset, hang
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        try:
            while self._read(stream):
                connection.sendall(self.reply)
                if self.after == "hang":
                    return
                if self.after == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if self.after != "keep":
                    stream.close()
                    connection.close()
                    return
        except OSError:
            return

    def _read(self, stream: Any) -> bool:
        line = stream.readline().decode()
        if not line:
            return False
        headers = {}
        while (header := stream.readline().decode().strip()) != "":
            name, value = header.split(":", 1)
            headers[name.lower()] = value.strip()
        body = json.loads(stream.read(int(headers["content-length"])))
        self.requests.append((line.strip(), headers, body))
        return True


def http(status: int, body: object, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.close()


async def call(url: str, request: GenerateRequest = REQUEST, **options: Any) -> Any:
    client = OpenAICompatibleClient(url, **options)
    try:
        return await client.generate(request)
    finally:
        await client.aclose()


async def failure(provider: Provider, **options: Any) -> Any:
    with pytest.raises(ProviderError) as caught:
        await call(provider.url, **options)
    return caught.value


async def test_an_answer_is_read_with_its_usage(provider: Provider) -> None:
    result = await call(provider.url)
    assert (result.text, result.finish_reason, result.model_reported, result.request_id) == (
        "héllo", "stop", "m-2026", "chatcmpl-1",
    )  # fmt: skip
    assert result.usage == Usage(7, 3, cached_prompt_tokens=4, reasoning_tokens=1)
    assert (result.compute_seconds, result.queue_seconds) == (0.25, 0.5)
    assert result.latency_ms > 0


async def test_the_request_carries_what_was_set_and_nothing_else(provider: Provider) -> None:
    await call(provider.url + "/", api_key="k-1")
    full = GenerateRequest(
        model="m", messages=(Message("system", "s"), Message("user", "ü")), max_tokens=5,
        temperature=0.5, stop=("x",), seed=3, top_p=0.9,
    )  # fmt: skip
    await call(provider.url, full)
    (line, headers, plain), (_line, second, body) = provider.requests
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == "Bearer k-1"
    assert "authorization" not in second
    assert plain == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "temperature": 0.0}
    assert body == {
        "model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "ü"}],
        "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "seed": 3, "top_p": 0.9,
    }  # fmt: skip


async def test_connections_are_used_again(provider: Provider) -> None:
    client = OpenAICompatibleClient(provider.url)
    for _ in range(3):
        await client.generate(REQUEST)
    await client.aclose()
    assert (len(provider.requests), provider.connections) == (3, 1)


def test_a_client_works_in_whatever_loop_first_uses_it(provider: Provider) -> None:
    client = OpenAICompatibleClient(provider.url)

    async def once() -> str:
        text = (await client.generate(REQUEST)).text
        await client.aclose()
        return text

    assert [asyncio.run(once()) for _ in range(2)] == ["héllo", "héllo"]


def error(code: str, message: str = "because") -> dict[str, Any]:
    return {"error": {"message": message, "code": code}}


@pytest.mark.parametrize(
    ("reply", "kind", "retryable"),
    [
        (http(401, error("invalid_api_key")), Auth, False),
        (http(403, error("forbidden")), Auth, False),
        (http(400, error("invalid_value")), BadRequest, False),
        (http(404, error("model_not_found")), BadRequest, False),
        (http(400, error("context_length_exceeded")), ContextTooLong, False),
        (http(400, error("content_filter")), ContentFilter, False),
        (http(429, error("rate_limit")), RateLimited, True),
        (http(429, error("insufficient_quota")), Auth, False),
        (http(408, error("")), Timeout, True),
        (http(500, b"<html>"), Overloaded, True),
        (http(503, b""), Overloaded, True),
        (http(529, error("overloaded_error")), Overloaded, True),
        (http(504, b""), Timeout, True),
        (http(302, b"", location="http://127.0.0.1:1/"), BadAnswer, True),
        (http(200, b"<html>hello</html>"), BadAnswer, True),
        (http(200, b"[]"), BadAnswer, True),
        (http(200, {**GOOD, "choices": []}), BadAnswer, True),
        (http(200, {**GOOD, "usage": {"prompt_tokens": -1, "completion_tokens": 1}}), BadAnswer, True),
        (http(200, {**GOOD, "choices": [{"message": {"content": "x"}, "finish_reason": None}]}), BadAnswer, True),
        (http(200, {**GOOD, "choices": [{"message": {"content": None}, "finish_reason": "stop"}]}), BadAnswer, True),
    ],
)
async def test_each_failure_has_its_class(provider: Provider, reply: bytes, kind: type, retryable: bool) -> None:
    provider.reply = reply
    caught = await failure(provider)
    assert type(caught) is kind
    assert caught.sent
    assert caught.retryable is retryable
    assert len(provider.requests) == 1  # no second attempt, no redirect followed


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "2.5"}, 2.5),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry_After": "999999"}, 3600.0),
        ({"Retry_After": "soon"}, None),
        ({}, None),
    ],
)
async def test_the_time_to_wait_is_read(provider: Provider, headers: dict[str, str], seconds: float | None) -> None:
    provider.reply = http(429, error("rate_limit"), **headers)
    assert (await failure(provider)).retry_after == seconds


async def test_the_providers_sentence_is_quoted_short_and_the_key_never(provider: Provider) -> None:
    provider.reply = http(400, error("invalid_value", "bad\nvalue " * 200), x_request_id="req-9")
    caught = await failure(provider, api_key="k-very-secret")
    assert "bad value" in caught.message
    assert len(caught.message) < 400
    assert "k-very-secret" not in repr(caught) + caught.message
    assert caught.request_id == "req-9"


async def test_an_answer_without_usage_is_marked_as_such(provider: Provider) -> None:
    provider.reply = http(200, {**GOOD, "usage": None})
    result = await call(provider.url)
    assert (result.text, result.usage) == ("héllo", None)


async def test_a_refusal_is_an_answer(provider: Provider) -> None:
    message = {"content": None, "refusal": "I will not."}
    provider.reply = http(200, {**GOOD, "choices": [{"message": message, "finish_reason": "stop"}]})
    result = await call(provider.url)
    assert (result.text, result.finish_reason) == ("I will not.", "content_filter")


async def test_an_answer_that_breaks_off_was_sent(provider: Provider) -> None:
    provider.reply, provider.after = http(200, GOOD)[:-20], "close"
    caught = await failure(provider)
    assert (type(caught), caught.sent) == (ConnectionFailed, True)


@pytest.mark.parametrize(
    "reply", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", http(200, GOOD, x="y" * 70_000)]
)
async def test_a_server_that_speaks_no_http(provider: Provider, reply: bytes) -> None:
    provider.reply, provider.after = reply, "close"
    caught = await failure(provider)
    assert (type(caught), caught.sent) == (BadAnswer, True)
    assert "no HTTP" in caught.message


async def test_a_reset_after_the_request_was_sent(provider: Provider) -> None:
    provider.reply, provider.after = b"", "reset"
    caught = await failure(provider)
    assert (type(caught), caught.sent, caught.retryable) == (ConnectionFailed, True, True)


async def test_no_answer_in_time_is_a_timeout_and_was_sent(provider: Provider) -> None:
    provider.reply, provider.after = b"", "hang"
    caught = await failure(provider, total_seconds=0.3)
    assert (type(caught), caught.sent) == (Timeout, True)


async def test_half_an_answer_in_time_is_a_timeout(provider: Provider) -> None:
    provider.reply, provider.after = http(200, GOOD)[:-20], "hang"
    caught = await failure(provider, total_seconds=0.3)
    assert (type(caught), caught.sent) == (Timeout, True)


async def test_a_huge_answer_is_dropped(provider: Provider) -> None:
    provider.reply = http(200, {**GOOD, "padding": "x" * 100_000})
    caught = await failure(provider, limits=Limits(answer_bytes=50_000))
    assert (type(caught), caught.sent) == (BadAnswer, True)
    assert "50000 bytes" in caught.message


async def test_a_refused_connection_was_never_sent(provider: Provider) -> None:
    provider.close()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        with pytest.raises(ConnectionFailed) as caught:
            await call(f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
    assert not caught.value.sent


async def test_an_unknown_host_was_never_sent() -> None:
    with pytest.raises(ConnectionFailed) as caught:
        await call("http://nowhere.invalid/v1")
    assert not caught.value.sent


async def test_waiting_for_a_free_connection_counts_as_not_sent(provider: Provider) -> None:
    provider.reply, provider.after = b"", "hang"
    client = OpenAICompatibleClient(provider.url, total_seconds=5, connect_seconds=0.3, max_connections=1)
    first = asyncio.create_task(client.generate(REQUEST))
    while not provider.requests:
        await asyncio.sleep(0.01)
    with pytest.raises(ConnectionFailed) as caught:
        await client.generate(REQUEST)
    assert not caught.value.sent
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await client.aclose()


@pytest.mark.parametrize("url", ["ftp://x/v1", "x/v1", "http://x/v1?a=1", "http://x /v1", ""])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        OpenAICompatibleClient(url)


def test_a_key_with_a_line_break_is_refused_unquoted() -> None:
    with pytest.raises(ValueError, match="copy it again") as caught:
        OpenAICompatibleClient("http://x/v1", api_key="abc\r\nX-Evil: 1")
    assert "abc" not in str(caught.value)


def stream_of(*chunks: object, done: bool = True) -> bytes:
    lines = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
    return http(200, lines + (b"data: [DONE]\r\n\r\n" if done else b""), content_type="text/event-stream")


def piece(delta: object, reason: str | None = None) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


async def streamed(provider: Provider, *chunks: object, done: bool = True) -> list[Any]:
    provider.reply = stream_of(*chunks, done=done)
    client = OpenAICompatibleClient(provider.url)
    try:
        return [event async for event in client.stream(REQUEST)]
    finally:
        await client.aclose()


async def test_a_stream_says_how_long_it_waited_before_its_first_piece(provider: Provider) -> None:
    usage = {**GOOD["usage"], "llmopt": {"queue_seconds": 0.5, "first_piece_queue_seconds": 0.2}}
    *_rest, last = await streamed(provider, piece({"content": "x"}, "stop"), {"choices": [], "usage": usage})
    assert (last.result.queue_seconds, last.result.first_queue_seconds) == (0.5, 0.2)


async def test_a_stream_asks_for_its_usage(provider: Provider) -> None:
    *_rest, last = await streamed(provider, piece({"content": "x"}, "stop"), {"choices": [], "usage": GOOD["usage"]})
    assert last.result.usage == Usage(7, 3, cached_prompt_tokens=4, reasoning_tokens=1)
    assert (last.result.compute_seconds, last.result.queue_seconds) == (0.25, 0.5)
    _line, headers, body = provider.requests[0]
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert headers["accept"] == "text/event-stream"


async def test_a_stream_may_end_without_its_mark(provider: Provider) -> None:
    *_rest, last = await streamed(provider, piece({"content": "x"}), piece({}, "eos_token"), done=False)
    assert (last.result.text, last.result.finish_reason, last.result.usage) == ("x", "stop", None)


@pytest.mark.parametrize(
    "calls",
    [
        # Numbered as OpenAI does; all with 0, as some servers do; not numbered at all, in whole calls.
        [{"index": 0, "id": "a"}, {"index": 1, "id": "b"}],
        [{"index": 0, "id": "a"}, {"index": 0, "id": "b"}],
        [{"id": "a"}, {"id": "b"}],
    ],
)
async def test_tool_calls_are_told_apart_however_they_are_numbered(provider: Provider, calls: list[Any]) -> None:
    pieces = [piece({"tool_calls": [call | {"function": {"name": "f", "arguments": "{}"}}]}) for call in calls]
    *_rest, last = await streamed(provider, *pieces, piece({}, "tool_calls"))
    assert [(call.id, call.arguments) for call in last.result.tool_calls] == [("a", "{}"), ("b", "{}")]


async def test_pieces_of_a_tool_call_that_are_not_numbered_add_up(provider: Provider) -> None:
    parts = [{"id": "a", "function": {"name": "f", "arguments": "{"}}, {"function": {"arguments": "}"}}]
    *_rest, last = await streamed(provider, *[piece({"tool_calls": [part]}) for part in parts], piece({}, "tool_calls"))
    assert [(call.id, call.name, call.arguments) for call in last.result.tool_calls] == [("a", "f", "{}")]


async def test_an_error_in_an_answer_that_began_well_is_quoted(provider: Provider) -> None:
    provider.reply = http(200, error("rate_limit_exceeded", "Slow down, k-very-secret"))
    caught = await failure(provider, api_key="k-very-secret")
    assert (type(caught), caught.status, caught.retryable) == (RateLimited, 200, True)
    assert "Slow down, [key]" in caught.message
