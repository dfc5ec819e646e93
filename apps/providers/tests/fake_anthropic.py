"""Anthropic's server: the Messages API of version 2026-10-21, whole and streamed.

Shapes and the order of events follow Anthropic's API reference. The official SDK reads them in test_fakes.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from apps.providers.tests.fake_provider import FakeProvider, RefusedRequest, Reply, Seen, count_words, words

VERSION = "2026-10-21"
_KNOWN = frozenset(
    {
        "model", "messages", "max_tokens", "system", "stop_sequences", "stream", "tools", "tool_choice",
        "output_config", "thinking", "metadata", "service_tier",
    }
)  # fmt: skip
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def fake_anthropic() -> FakeAnthropic:
    """`with fake_anthropic() as server:` and then `server.url`, `server.requests`, `server.script(Reply(…))`."""
    return FakeAnthropic()


class FakeAnthropic(FakeProvider):
    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/messages", self.handle)]

    def check(self, seen: Seen) -> None:
        key = seen.headers.get("authorization")
        if key != f"Bearer {self.key}":
            raise RefusedRequest(401, "authentication_error", f"invalid bearer token {key}")
        if seen.headers.get("anthropic-version") != VERSION:
            raise RefusedRequest(400, "invalid_request_error", "anthropic-version: unknown version")
        for name in seen.body:
            if name not in _KNOWN:
                raise RefusedRequest(400, "invalid_request_error", f"{name}: Extra inputs are not permitted")
        if seen.body["messages"][0]["role"] != "user":
            raise RefusedRequest(400, "invalid_request_error", "messages: first message must use the user role")

    def error(self, status: int, code: str, message: str) -> dict[str, Any]:
        kind = code or _ERROR_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message or "because"}, "request_id": "req_1"}

    def error_event(self, code: str, message: str) -> bytes:
        return _event("error", self.error(500, code, message))

    def whole(self, seen: Seen, reply: Reply) -> dict[str, Any]:
        pieces, cut = _pieces(seen, reply)
        message = _frame(seen, reply, len(pieces) + reply.reasoning)
        message["content"] = [
            *([{"type": "text", "text": "".join(pieces), "citations": None}] if pieces else []),
            *(
                {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": json.loads(arguments)}
                for number, (name, arguments) in enumerate(reply.tools)
            ),
        ]
        message["stop_reason"] = _stop_reason(reply, cut)
        return message

    def events(self, seen: Seen, reply: Reply) -> Iterator[bytes]:
        for content in _steps(seen, reply):
            yield _event(content["type"], content)


def _event(kind: str, content: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(content)}\n\n".encode()


def _pieces(seen: Seen, reply: Reply) -> tuple[list[str], bool]:
    return ([], False) if reply.tools and not reply.text else words(reply.text, seen.body["max_tokens"])


def _stop_reason(reply: Reply, cut: bool) -> str:
    if cut:
        return "max_tokens"
    return "refusal" if reply.refuses else "tool_use" if reply.tools else "end_turn"


def _prompt_words(body: dict[str, Any]) -> int:
    return count_words(body.get("system"), *(turn["content"] for turn in body["messages"]))


def _frame(seen: Seen, reply: Reply, output: int) -> dict[str, Any]:
    usage = {
        "input_tokens": _prompt_words(seen.body),
        "cache_creation_input_tokens": reply.cache_written,
        "cache_read_input_tokens": reply.cached,
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": reply.reasoning},
        "service_tier": "standard",
    }
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": seen.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage if reply.usage else None,
    }


def _steps(seen: Seen, reply: Reply) -> Iterator[dict[str, Any]]:
    pieces, cut = _pieces(seen, reply)
    yield {"type": "message_start", "message": _frame(seen, reply, 1)}
    index = 0
    if pieces:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield {"type": "ping"}
        for piece in pieces:
            yield _delta(0, {"type": "text_delta", "text": piece})
        yield {"type": "content_block_stop", "index": 0}
        index = 1
    for number, (name, arguments) in enumerate(reply.tools):
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for part in ("", arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
            yield _delta(index, {"type": "input_json_delta", "partial_json": part})
        yield {"type": "content_block_stop", "index": index}
        index += 1
    output = len(pieces) + reply.reasoning
    usage = {"output_tokens": output, "output_tokens_details": {"thinking_tokens": reply.reasoning}}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(reply, cut), "stop_sequence": None},
        "usage": usage if reply.usage else None,
    }
    yield {"type": "message_stop"}


def _delta(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}
