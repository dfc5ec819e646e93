"""OpenAI's server: chat completions, the Responses API and the list of models, whole and streamed.

Shapes and the order of events follow OpenAI's API reference. The official SDK reads them in test_fakes.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from apps.providers.tests.fake_provider import FakeProvider, RefusedRequest, Reply, Seen, count_words, words

MODELS = ("gpt-4.1-mini", "gpt-5.6-luna")
_REASONS = re.compile(r"o\d|gpt-[5-9]")
_CHAT = frozenset(
    {
        "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed",
        "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format",
        "reasoning_effort", "n", "user", "store",
    }
)  # fmt: skip
_RESPONSES = frozenset(
    {
        "model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "stream", "tools",
        "tool_choice", "parallel_tool_calls", "text", "reasoning", "store", "user", "metadata",
    }
)  # fmt: skip


def fake_openai() -> FakeOpenAI:
    """`with fake_openai() as server:` and then `server.url`, `server.requests`, `server.script(Reply(…))`."""
    return FakeOpenAI()


class FakeOpenAI(FakeProvider):
    root = "/v1"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self.handle),
            web.post("/v1/responses", self.handle),
            web.get("/v1/models", self._models),
        ]

    def check(self, seen: Seen) -> None:
        key = seen.headers.get("authorization")
        if key != f"Bearer {self.key}":
            raise RefusedRequest(401, "invalid_api_key", f"Incorrect API key provided: {key}")
        known = _CHAT if seen.path.endswith("completions") else _RESPONSES
        for name in seen.body:
            if name not in known:
                raise RefusedRequest(400, "unknown_parameter", f"Unknown parameter: '{name}'.")
        if (seen.body.get("max_output_tokens") or 16) < 16:
            raise RefusedRequest(400, "integer_below_min_value", "Invalid 'max_output_tokens': expected a value >= 16.")
        if _REASONS.match(seen.body["model"]):
            for name in ("max_tokens", "temperature", "top_p"):
                if seen.body.get(name) not in (None, 1):
                    raise RefusedRequest(400, "unsupported_parameter", f"Unsupported parameter: '{name}'.")

    def error(self, status: int, code: str, message: str) -> dict[str, Any]:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message or "because", "type": kind, "param": None, "code": code or None}}

    def error_event(self, code: str, message: str) -> bytes:
        return _data({"type": "error", **self.error(500, code, message)})

    def whole(self, seen: Seen, reply: Reply) -> dict[str, Any]:
        return _completion(seen, reply) if seen.path.endswith("completions") else _response(seen, reply)

    def events(self, seen: Seen, reply: Reply) -> Iterator[bytes]:
        return _chunks(seen, reply) if seen.path.endswith("completions") else _response_events(seen, reply)

    async def _models(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return web.json_response(self.error(401, "invalid_api_key", "Incorrect API key provided."), status=401)
        rows = [{"id": name, "object": "model", "created": 1, "owned_by": "openai"} for name in MODELS]
        return web.json_response({"object": "list", "data": rows})


def _data(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _prompt_words(body: dict[str, Any]) -> int:
    turns: Any = body.get("messages") or body.get("input")
    if isinstance(turns, str):
        return count_words(turns)
    return sum(count_words(turn.get("content"), turn.get("output")) for turn in turns)


def _pieces(reply: Reply, most: int | None) -> tuple[list[str], bool]:
    return ([], False) if reply.tools and not reply.text else words(reply.text, most or 10**9)


# Chat completions


def _chat_usage(body: dict[str, Any], reply: Reply, completion: int) -> dict[str, Any]:
    prompt = _prompt_words(body)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": reply.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning, "audio_tokens": 0},
    }


def _chat_finish(reply: Reply, cut: bool) -> str:
    return "length" if cut else "tool_calls" if reply.tools else "stop"


def _bound(body: dict[str, Any]) -> int | None:
    return body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens")


def _completion(seen: Seen, reply: Reply) -> dict[str, Any]:
    pieces, cut = _pieces(reply, _bound(seen.body))
    text = "".join(pieces)
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None, "annotations": []}
    if reply.refuses:
        message |= {"content": None, "refusal": text}
    if reply.tools:
        message["tool_calls"] = [
            {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(reply.tools)
        ]
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": seen.body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _chat_finish(reply, cut)}],
    }
    return body | {"usage": _chat_usage(seen.body, reply, len(pieces) + reply.reasoning)} if reply.usage else body


def _chunks(seen: Seen, reply: Reply) -> Iterator[bytes]:
    pieces, cut = _pieces(reply, _bound(seen.body))
    counted = bool((seen.body.get("stream_options") or {}).get("include_usage")) and reply.usage

    def chunk(delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": seen.body["model"]}
        return _data({**body, "choices": choices, **({"usage": None} if counted else {}), **more})

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for piece in pieces:
        yield chunk({"refusal" if reply.refuses else "content": piece})
    for number, (name, arguments) in enumerate(reply.tools):
        call = {"index": number, "id": f"call_{number}", "type": "function"}
        yield chunk({"tool_calls": [call | {"function": {"name": name, "arguments": ""}}]})
        for part in _halves(arguments):
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": part}}]})
    yield chunk({}, _chat_finish(reply, cut))
    if counted:
        yield chunk(None, usage=_chat_usage(seen.body, reply, len(pieces) + reply.reasoning))
    yield b"data: [DONE]\n\n"


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


# Responses


def _response(seen: Seen, reply: Reply) -> dict[str, Any]:
    pieces, cut = _pieces(reply, _bound(seen.body))
    output: list[dict[str, Any]] = []
    if reply.reasoning:
        output.append({"type": "reasoning", "id": "rs_1", "summary": []})
    if pieces:
        output.append(_message("".join(pieces), reply))
    output += [_function_call(number, name, arguments) for number, (name, arguments) in enumerate(reply.tools)]
    return _frame(seen, "incomplete" if cut else "completed") | {
        "output": output,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "usage": _response_usage(seen.body, reply, len(pieces) + reply.reasoning) if reply.usage else None,
    }


def _frame(seen: Seen, status: str) -> dict[str, Any]:
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": None,
        "incomplete_details": None, "instructions": None, "max_output_tokens": seen.body.get("max_output_tokens"),
        "model": seen.body["model"], "output": [], "parallel_tool_calls": True, "previous_response_id": None,
        "store": seen.body.get("store", True), "temperature": seen.body.get("temperature", 1.0), "tool_choice": "auto",
        "tools": seen.body.get("tools", []), "top_p": 1.0, "truncation": "disabled", "usage": None, "metadata": {},
    }  # fmt: skip


def _message(text: str, reply: Reply, status: str = "completed") -> dict[str, Any]:
    return {
        "type": "message",
        "id": "msg_1",
        "status": status,
        "role": "assistant",
        "content": [] if status == "in_progress" else [_part(text, reply)],
    }


def _part(text: str, reply: Reply) -> dict[str, Any]:
    if reply.refuses:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _function_call(number: int, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    return {
        "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name,
        "arguments": arguments, "status": status,
    }  # fmt: skip


def _response_usage(body: dict[str, Any], reply: Reply, completion: int) -> dict[str, Any]:
    prompt = _prompt_words(body)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": reply.cached, "cache_write_tokens": reply.cache_written},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning},
        "total_tokens": prompt + completion,
    }


def _response_events(seen: Seen, reply: Reply) -> Iterator[bytes]:
    whole = _response(seen, reply)
    for number, event in enumerate(_response_steps(seen, reply, whole)):
        kind = event["type"]
        yield f"event: {kind}\n".encode() + _data({**event, "sequence_number": number})


def _response_steps(seen: Seen, reply: Reply, whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": _frame(seen, "in_progress")}
    yield {"type": "response.in_progress", "response": _frame(seen, "in_progress")}
    for index, item in enumerate(whole["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            yield from _text_steps(place, item, reply, _bound(seen.body))
        elif item["type"] == "function_call":
            yield from _call_steps(place, item)
        else:
            yield {"type": "response.output_item.added", "output_index": index, "item": item}
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _text_steps(
    place: dict[str, Any], item: dict[str, Any], reply: Reply, most: int | None
) -> Iterator[dict[str, Any]]:
    pieces, _cut = _pieces(reply, most)
    text = "".join(pieces)
    kind = "refusal" if reply.refuses else "output_text"
    index = place["output_index"]
    started = _message("", reply, "in_progress")
    yield {"type": "response.output_item.added", "output_index": index, "item": started}
    yield {"type": "response.content_part.added", **place, "content_index": 0, "part": _part("", reply)}
    for piece in pieces:
        yield {"type": f"response.{kind}.delta", **place, "content_index": 0, "delta": piece, "logprobs": []}
    done = {"refusal": text} if reply.refuses else {"text": text, "logprobs": []}
    yield {"type": f"response.{kind}.done", **place, "content_index": 0, **done}
    yield {"type": "response.content_part.done", **place, "content_index": 0, "part": _part(text, reply)}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _call_steps(place: dict[str, Any], item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    started = item | {"arguments": "", "status": "in_progress"}
    yield {"type": "response.output_item.added", "output_index": place["output_index"], "item": started}
    for part in _halves(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": part}
    yield {
        "type": "response.function_call_arguments.done",
        **place,
        "arguments": item["arguments"],
        "name": item["name"],
    }
    yield {"type": "response.output_item.done", "output_index": place["output_index"], "item": item}
