"""OpenAI's request and response shapes: what comes in is checked field by field, what goes out is built here."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from apps.providers.engine.inference.errors import ApiError, invalid
from apps.providers.engine.inference.sequence import Sequence
from apps.providers.engine.messages import ROLES, Message, Role

MAX_MESSAGES = 256
MAX_STOP_STRINGS = 4
MAX_STOP_CHARACTERS = 256
DEFAULT_MAX_TOKENS = 256
MAX_TEMPERATURE = 2.0

# Parameters of OpenAI's that this server does not implement, with the values under which leaving them out changes
# nothing. Any other value is refused by name: a parameter that is silently dropped would falsify an evaluation.
NEUTRAL_VALUES: dict[str, tuple[object, ...]] = {
    "n": (None, 1),
    "presence_penalty": (None, 0, 0.0),
    "frequency_penalty": (None, 0, 0.0),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "tools": (None, []),
    "tool_choice": (None, "none"),
    "response_format": (None, {"type": "text"}),
    "store": (None, False),
}
# Accepted and without any effect on the answer.
IGNORED = frozenset({"user", "metadata", "service_tier", "parallel_tool_calls"})
READ = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "stream",
        "stream_options",
    }
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. ``top_p`` is 1.0 when not given; ``stop`` holds the stop strings."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool


def read_chat_request(body: object, *, max_tokens_limit: int) -> ChatRequest:
    """Check a decoded JSON body; raises ``ApiError`` (400) that names the field."""
    if not isinstance(body, dict):
        raise ApiError(400, "invalid_json", "The body must be one JSON object.")
    _refuse_unimplemented(body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("model must be the id of a model.", param="model")
    temperature = _number(body, "temperature", default=1.0, low=0.0, high=MAX_TEMPERATURE)
    _check_seed(body, temperature)
    stream = _flag(body, "stream")
    return ChatRequest(
        model=model,
        messages=_messages(body.get("messages")),
        max_tokens=_max_tokens(body, max_tokens_limit),
        temperature=temperature,
        top_p=_top_p(body),
        stop=_stop(body.get("stop")),
        stream=stream,
        include_usage=stream and _include_usage(body.get("stream_options")),
    )


def _refuse_unimplemented(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if name in READ or name in IGNORED:
            continue
        neutral = NEUTRAL_VALUES.get(name)
        if neutral is None:
            raise ApiError(400, "unknown_parameter", f"Unknown parameter: {name}.", param=name)
        if not any(value == item and type(value) is type(item) for item in neutral):
            raise ApiError(400, "unsupported_parameter", f"{name} is not supported for local models.", param=name)


def _number(body: Mapping[str, Any], name: str, *, default: float, low: float, high: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid(f"{name} must be a number.", param=name)
    if not low <= value <= high:
        raise invalid(f"{name} must be between {low:g} and {high:g}.", param=name)
    return float(value)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value not in (None, True, False):
        raise invalid(f"{name} must be true or false.", param=name)
    return bool(value)


def _top_p(body: Mapping[str, Any]) -> float:
    top_p = _number(body, "top_p", default=1.0, low=0.0, high=1.0)
    if top_p == 0:
        raise invalid("top_p must be above 0; use temperature 0 for greedy decoding.", param="top_p")
    return top_p


def _check_seed(body: Mapping[str, Any], temperature: float) -> None:
    seed = body.get("seed")
    if seed is None:
        return
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise invalid("seed must be an integer.", param="seed")
    if temperature > 0:
        raise ApiError(
            400,
            "unsupported_parameter",
            "seed is not supported with a temperature above 0: local models share one random generator among all "
            "requests. Leave seed out, or use temperature 0, which always gives the same answer.",
            param="seed",
        )


def _max_tokens(body: Mapping[str, Any], limit: int) -> int:
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    value = body.get(name)
    if value is None:
        return min(DEFAULT_MAX_TOKENS, limit)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
        raise invalid(f"{name} must be an integer from 1 to {limit}.", param=name)
    return value


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list) or len(strings) > MAX_STOP_STRINGS:
        raise invalid(f"stop must be a string or a list of at most {MAX_STOP_STRINGS} strings.", param="stop")
    for item in strings:
        if not isinstance(item, str) or not 1 <= len(item) <= MAX_STOP_CHARACTERS:
            raise invalid(f"Each stop string has 1 to {MAX_STOP_CHARACTERS} characters.", param="stop")
    return tuple(strings)


def _include_usage(value: object) -> bool:
    if value is None:
        return False
    if not isinstance(value, dict) or not isinstance(value.get("include_usage", False), bool):
        raise invalid("stream_options must be an object with include_usage.", param="stream_options")
    return bool(value.get("include_usage", False))


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_MESSAGES:
        raise invalid(f"messages must be a list of 1 to {MAX_MESSAGES} messages.", param="messages")
    return tuple(_message(item, index) for index, item in enumerate(value))


def _message(item: object, index: int) -> Message:
    param = f"messages[{index}]"
    if not isinstance(item, dict):
        raise invalid(f"{param} must be an object with role and content.", param=param)
    role = item.get("role")
    if role not in ROLES:
        raise invalid(f"{param}.role must be one of {', '.join(ROLES)}.", param=f"{param}.role")
    return Message(role=cast("Role", role), content=_content(item.get("content"), f"{param}.content"))


def _content(value: object, param: str) -> str:
    if isinstance(value, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
        texts = [part.get("text") for part in value]
        if all(isinstance(text, str) for text in texts):
            value = "".join(cast("list[str]", texts))
    if not isinstance(value, str):
        raise invalid(f"{param} must be text.", param=param)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid(f"{param} holds half of a surrogate pair, which is not text.", param=param) from None
    return value


def completion_body(sequence: Sequence, *, created: int) -> dict[str, object]:
    """The body of a finished, non-streaming answer."""
    return {
        "id": sequence.request_id,
        "object": "chat.completion",
        "created": created,
        "model": sequence.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": sequence.text},
                "finish_reason": sequence.finish_reason,
                "logprobs": None,
            }
        ],
        "usage": usage_body(sequence),
    }


def chunk_body(sequence: Sequence, *, created: int, text: str | None, finished: bool = False) -> dict[str, object]:
    """One streamed piece: ``text`` None opens the stream with the role."""
    delta: dict[str, str] = {}
    if text is None:
        delta = {"role": "assistant", "content": ""}
    elif text:
        delta = {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": sequence.finish_reason if finished else None}
    return _chunk(sequence, created, [choice])


def usage_chunk_body(sequence: Sequence, *, created: int) -> dict[str, object]:
    """The last piece of a stream that asked for usage: no choices."""
    return {**_chunk(sequence, created, []), "usage": usage_body(sequence)}


def _chunk(sequence: Sequence, created: int, choices: list[dict[str, object]]) -> dict[str, object]:
    return {
        "id": sequence.request_id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": sequence.model,
        "choices": choices,
    }


def usage_body(sequence: Sequence) -> dict[str, object]:
    """Token counts as OpenAI reports them, and under ``llmopt`` what the answer took of the machine."""
    prompt, completion = len(sequence.prompt_ids), len(sequence.output_ids)
    timing = sequence.timing
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": timing.cached_prompt_tokens},
        "llmopt": {
            "batch_seconds": timing.batch_seconds,
            "batch_size": timing.batch_size,
            "compute_seconds": timing.compute_seconds,
            "queue_seconds": timing.queue_seconds,
            "first_piece_queue_seconds": timing.first_piece_queue_seconds,
            "cached_prompt_tokens": timing.cached_prompt_tokens,
        },
    }


def now_seconds() -> int:
    """Seconds since 1970, as ``created`` wants it."""
    return int(time.time())
