"""Whatever a body of `/v1/chat/completions` holds: it is understood, or refused in OpenAI's shape."""

import copy
import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.billing.metering import GenerateRequest
from llmopt.edge.gateway.errors import Refusal
from llmopt.edge.gateway.reading import Wanted, read_request

FUNCTION = {
    "name": "look_up",
    "description": "Find",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}
WHOLE: dict[str, Any] = {
    "model": "openai/gpt",
    "messages": [
        {"role": "developer", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ],
    "max_tokens": 16,
    "max_completion_tokens": 8,
    "temperature": 0.5,
    "top_p": 1,
    "stop": ["a", "b"],
    "seed": 1,
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "look_up"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}, "strict": False}},
    "reasoning_effort": "low",
    "n": 1,
    "user": "me",
}
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["", "\x00", "😀"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
fixed = settings(derandomize=True, deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))


def as_json(value: Any) -> bytes:
    """Python's own writer, which writes what no other does: NaN, numbers of any size, half of a character."""
    return json.dumps(value).encode()


def read(body: bytes) -> Wanted | None:
    """What was understood; None where it was refused as clients of OpenAI expect it."""
    begun = time.perf_counter()
    wanted, refused = _read(body)
    if refused is not None:
        error = orjson.loads(orjson.dumps(refused.body))["error"]
        assert 400 <= refused.status < 500
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["message"]
        assert len(error["message"]) < 1000
    assert time.perf_counter() - begun < 1
    return wanted


def _read(body: bytes) -> tuple[Wanted | None, Refusal | None]:
    try:
        return read_request(body, default_max_tokens=64), None
    except Refusal as refusal:
        return None, refusal


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every part of a JSON value stands."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in below for place in places(each, (*at, key)))]


PLACES = places(WHOLE)[1:]


def changed(at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body = copy.deepcopy(WHOLE)
    *way, last = at
    part: Any = body
    for key in way:
        part = part[key]
    part[last] = value
    return body


def test_the_whole_request_is_understood() -> None:
    wanted = read(as_json(WHOLE))
    assert wanted is not None
    assert wanted.stream
    assert wanted.include_usage
    assert wanted.request.max_tokens == 8


@fixed
@given(st.binary(max_size=40) | anything.map(as_json))
def test_any_bytes_and_any_json_are_refused_in_openais_shape(body: bytes) -> None:
    read(body)


@fixed
@given(st.sampled_from(PLACES), anything)
def test_any_value_anywhere_in_a_request_is_understood_or_refused(at: tuple[Any, ...], value: Any) -> None:
    wanted = read(as_json(changed(at, value)))
    if wanted is not None:
        request: GenerateRequest = wanted.request
        assert 1 <= request.max_tokens <= 1_000_000
        assert request.temperature is None or 0 <= request.temperature <= 2
        # What goes on to a provider can be written again.
        assert orjson.dumps([tool.parameters for tool in request.tools])
        assert orjson.dumps(request.answer_format.schema if request.answer_format else None)
        assert all(each.content.encode() is not None for each in request.messages)


@fixed
@given(st.text(min_size=1, max_size=20).filter(lambda name: name not in WHOLE), st.booleans() | st.integers(1))
def test_a_parameter_that_nobody_knows_is_refused_by_its_name(name: str, value: Any) -> None:
    known = {"metadata", "safety_identifier", "prompt_cache_key", "store", "logprobs"}
    refused = read(as_json({**WHOLE, name: value})) is None
    assert refused or name in known


@pytest.mark.parametrize("at", [("tools", 0, "function", "parameters"), ("response_format", "json_schema", "schema")])
def test_what_is_nested_too_deep_is_refused_before_anything_is_held(at: tuple[Any, ...]) -> None:
    deep: Any = {}
    for _level in range(300):
        deep = {"properties": deep}

    assert read(as_json(changed(at, deep))) is None
    assert read(b"[" * 100_000) is None


def test_a_long_name_is_not_repeated_whole() -> None:
    assert read(as_json({**WHOLE, "x" * 5_000_000: 1})) is None
    assert read(as_json(changed(("messages", 0, "role"), "x" * 5_000_000))) is None


def test_json_tells_true_from_one() -> None:
    for name, value in (("n", True), ("logprobs", 0), ("frequency_penalty", False), ("store", 0)):
        assert read(as_json({**WHOLE, name: value})) is None, name
    for name, value in (("n", 1), ("logprobs", False), ("frequency_penalty", 0.0), ("store", None)):
        assert read(as_json({**WHOLE, name: value})) is not None, name
