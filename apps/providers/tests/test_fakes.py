"""The fakes speak their providers' protocols: the official SDKs, as their makers ship them, read every answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from apps.providers.tests.fake_anthropic import FakeAnthropic, fake_anthropic
from apps.providers.tests.fake_openai import FakeOpenAI, fake_openai
from apps.providers.tests.fake_provider import KEY, Reply

WEATHER = ("get_weather", '{"place": "Lucca"}')
HELLO: list[Any] = [{"role": "user", "content": "Say hello"}]


@pytest.fixture(scope="module")
def openai_server() -> Iterator[FakeOpenAI]:
    with fake_openai() as server:
        yield server


@pytest.fixture(scope="module")
def anthropic_server() -> Iterator[FakeAnthropic]:
    with fake_anthropic() as server:
        yield server


def openai_sdk(server: FakeOpenAI, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key=key, max_retries=0, _strict_response_validation=True)


def anthropic_sdk(server: FakeAnthropic, key: str = KEY) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0, _strict_response_validation=True)


def test_chat_completions(openai_server: FakeOpenAI) -> None:
    openai_server.script(Reply("One two three"), Reply("", tools=(WEATHER,)))
    sdk = openai_sdk(openai_server)
    said = sdk.chat.completions.create(model="m", messages=HELLO, max_tokens=2)
    assert (said.choices[0].message.content, said.choices[0].finish_reason) == ("One two", "length")
    assert said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (2, 2)
    asked = sdk.chat.completions.create(model="m", messages=HELLO).choices[0]
    assert asked.finish_reason == "tool_calls"
    assert asked.message.tool_calls is not None
    assert asked.message.tool_calls[0].function.arguments == WEATHER[1]


def test_chat_completions_streamed(openai_server: FakeOpenAI) -> None:
    openai_server.script(Reply("One two", tools=(WEATHER,)))
    stream = openai_sdk(openai_server).chat.completions.stream(
        model="m", messages=HELLO, stream_options={"include_usage": True}
    )
    with stream as events:
        final = events.get_final_completion()
    assert final.choices[0].message.content == "One two"
    assert final.choices[0].message.tool_calls[0].function.arguments == WEATHER[1]
    assert final.usage is not None
    assert final.usage.total_tokens == 4


def test_responses(openai_server: FakeOpenAI) -> None:
    openai_server.script(Reply("One two", tools=(WEATHER,), reasoning=3, cached=1))
    said = openai_sdk(openai_server).responses.create(model="gpt-5.6-luna", input="Say hello")
    assert said.output_text == "One two"
    assert [item.type for item in said.output] == ["reasoning", "message", "function_call"]
    assert said.usage is not None
    assert (said.usage.output_tokens, said.usage.output_tokens_details.reasoning_tokens) == (5, 3)


def test_responses_streamed(openai_server: FakeOpenAI) -> None:
    openai_server.script(Reply("One two", tools=(WEATHER,)))
    with openai_sdk(openai_server).responses.stream(model="gpt-4.1-mini", input="Say hello") as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    assert deltas == ["One", " two"]
    assert final.output_text == "One two"


def test_openai_models_and_errors(openai_server: FakeOpenAI) -> None:
    assert "gpt-4.1-mini" in [model.id for model in openai_sdk(openai_server).models.list()]
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        openai_sdk(openai_server, "wrong").responses.create(model="m", input="x")
    with pytest.raises(openai.BadRequestError, match="seed"):
        openai_sdk(openai_server).responses.create(model="m", input="x", extra_body={"seed": 1})
    openai_server.script(Reply(status=429, headers={"retry-after": "7"}))
    with pytest.raises(openai.RateLimitError) as caught:
        openai_sdk(openai_server).chat.completions.create(model="m", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "7"
    openai_server.script(Reply(after=3, error=("server_error", "sorry")))
    with pytest.raises(openai.APIError, match="sorry"):
        list(openai_sdk(openai_server).chat.completions.create(model="m", messages=HELLO, stream=True))


def test_messages(anthropic_server: FakeAnthropic) -> None:
    anthropic_server.script(Reply("One two", tools=(WEATHER,), reasoning=3, cached=4, cache_written=5))
    said = anthropic_sdk(anthropic_server).messages.create(model="claude-haiku-5-5", messages=HELLO, max_tokens=9)
    assert [block.type for block in said.content] == ["text", "tool_use"]
    assert (said.stop_reason, said.usage.output_tokens, said.usage.cache_read_input_tokens) == ("tool_use", 5, 4)


def test_messages_streamed(anthropic_server: FakeAnthropic) -> None:
    anthropic_server.script(Reply("One two", tools=(WEATHER,)))
    sdk = anthropic_sdk(anthropic_server)
    with sdk.messages.stream(model="claude-haiku-5-5", messages=HELLO, max_tokens=9) as events:
        texts = list(events.text_stream)
        final = events.get_final_message()
    assert texts == ["One", " two"]
    call = final.content[1]
    assert call.type == "tool_use"
    assert call.input == json.loads(WEATHER[1])
    assert final.usage.output_tokens == 2


def test_anthropic_errors(anthropic_server: FakeAnthropic) -> None:
    sdk = anthropic_sdk(anthropic_server)
    wanted: dict[str, Any] = {"model": "claude-haiku-5-5", "messages": HELLO, "max_tokens": 9}
    with pytest.raises(anthropic.AuthenticationError):
        anthropic_sdk(anthropic_server, "wrong").messages.create(**wanted)
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        sdk.messages.create(**wanted, extra_body={"temperature": 1.0})
    anthropic_server.script(Reply(status=529))
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        sdk.messages.create(**wanted)
    anthropic_server.script(Reply(after=4, error=("overloaded_error", "Overloaded")))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(sdk.messages.create(**wanted, stream=True))
