from __future__ import annotations

from typing import Any

import pytest

from apps.providers.engine.inference.errors import ApiError
from apps.providers.engine.inference.wire import read_chat_request
from apps.providers.tests.inference_support import chat


def test_a_request_is_read_with_every_field() -> None:
    request = read_chat_request(
        chat(
            text="a",
            system="b",
            top_p=0.5,
            stop=["x"],
            temperature=0.7,
            stream=True,
            stream_options={"include_usage": True},
        ),
        max_tokens_limit=100,
    )
    assert [(message.role, message.content) for message in request.messages] == [("system", "b"), ("user", "a")]
    assert (request.max_tokens, request.temperature, request.top_p, request.stop) == (12, 0.7, 0.5, ("x",))
    assert request.stream
    assert request.include_usage


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"model": ""}, "invalid_value", "model"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": "hello"}, "invalid_value", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "invalid_value", "messages[0].content"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "invalid_value", "messages[0].content"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_tokens": 101}, "invalid_value", "max_tokens"),
        ({"max_tokens": True}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": 101}, "invalid_value", "max_completion_tokens"),
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"temperature": float("nan")}, "invalid_value", "temperature"),
        ({"temperature": "hot"}, "invalid_value", "temperature"),
        ({"top_p": 0}, "invalid_value", "top_p"),
        ({"stop": [""]}, "invalid_value", "stop"),
        ({"stop": ["a"] * 5}, "invalid_value", "stop"),
        ({"stream": "yes"}, "invalid_value", "stream"),
        ({"seed": 1.5}, "invalid_value", "seed"),
        ({"seed": 1, "temperature": 0.5}, "unsupported_parameter", "seed"),
        ({"n": 2}, "unsupported_parameter", "n"),
        ({"logprobs": True}, "unsupported_parameter", "logprobs"),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format"),
        ({"frequency_penalty": 0.5}, "unsupported_parameter", "frequency_penalty"),
        ({"beam_size": 4}, "unknown_parameter", "beam_size"),
    ],
)
def test_a_bad_field_is_refused_by_name(change: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_chat_request({**chat(), **change}, max_tokens_limit=100)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_parameters_without_effect_are_accepted() -> None:
    body = chat(n=1, logprobs=False, presence_penalty=0, seed=7, user="someone")
    assert read_chat_request(body, max_tokens_limit=100).temperature == 0


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = chat(messages=[{"role": "user", "content": parts}])
    assert read_chat_request(body, max_tokens_limit=100).messages[0].content == "ab"


def test_an_image_part_is_refused() -> None:
    body = chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    with pytest.raises(ApiError, match="must be text"):
        read_chat_request(body, max_tokens_limit=100)
