"""Answers in the shape of OpenAI's chat completions: whole, and in pieces."""

from dataclasses import dataclass
from typing import Any

import orjson

from apps.billing.metering import MeteredResult, StreamEvent, TextDelta, ToolCallDelta

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What every piece of one answer says. `uid` is the generation's id, `model` the own name of what answers."""

    uid: str
    created: int
    model: str

    def of(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.uid}", "object": kind, "created": self.created, "model": self.model}


def completion(head: Head, result: MeteredResult) -> bytes:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": result.text or (None if result.tool_calls else "")}
    if result.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in result.tool_calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": result.finish_reason}
    return orjson.dumps({**head.of("chat.completion"), "choices": [choice], "usage": usage(result)})


def usage(result: MeteredResult) -> dict[str, Any]:
    """Tokens as OpenAI counts them, and beside them what the answer cost here."""
    return {
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
        "total_tokens": result.prompt_tokens + result.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": result.cached_prompt_tokens},
        "completion_tokens_details": {"reasoning_tokens": result.reasoning_tokens},
        "llmopt": {
            "cost_nanousd": result.cost_nanousd,
            "cost_is_bound": result.bounded,
            "cached": result.cached,
            "latency_ms": result.latency_ms,
        },
    }


def first_chunk(head: Head) -> bytes:
    return _chunk(head, {"role": "assistant", "content": ""}, None)


def piece_chunk(head: Head, piece: StreamEvent) -> bytes:
    """One piece of a streamed answer; empty for what says nothing to the caller."""
    if isinstance(piece, TextDelta):
        return _chunk(head, {"content": piece.text}, None)
    if isinstance(piece, ToolCallDelta):
        call: dict[str, Any] = {"index": piece.index, "function": {"arguments": piece.arguments}}
        if piece.id or piece.name:
            call |= {"id": piece.id, "type": "function"}
            call["function"]["name"] = piece.name
        return _chunk(head, {"tool_calls": [call]}, None)
    return b""


def last_chunks(head: Head, result: MeteredResult, *, include_usage: bool) -> bytes:
    """The reason for the end and, if asked for, what was used."""
    end = _chunk(head, {}, result.finish_reason)
    if include_usage:
        counted = {**head.of("chat.completion.chunk"), "choices": [], "usage": usage(result)}
        end += _event(counted)
    return end + DONE


def error_chunk(error: dict[str, Any]) -> bytes:
    """An error in the middle of a stream, whose status was sent long ago."""
    return _event(error) + DONE


def _chunk(head: Head, delta: dict[str, Any], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event({**head.of("chat.completion.chunk"), "choices": [choice]})


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"
