"""What every client does with a good provider: the wire client, OpenAI's SDK and Anthropic's, against real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.providers.engine.clients.base import (
    AnswerFormat,
    BadRequest,
    GenerateRequest,
    Tool,
    Usage,
    UseTool,
)
from apps.providers.engine.clients.factory import Provider
from apps.providers.engine.messages import Message, ToolCall, ToolRequest, ToolResult
from apps.providers.tests.client_worlds import BEGUN, World, pieces
from apps.providers.tests.fake_anthropic import fake_anthropic
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

ROOT = Path(__file__).resolve().parents[3]
WEATHER = Tool("get_weather", "The weather of a place", {"type": "object", "properties": {"place": {"type": "string"}}})
CALL = ("get_weather", '{"place":"Lucca"}')
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[Provider, FakeProvider]]:
    with fake_openai() as openai_server, fake_anthropic() as anthropic_server:
        yield {"compatible": openai_server, "openai": openai_server, "anthropic": anthropic_server}


@pytest.fixture(params=["compatible", "openai", "anthropic"])
def world(request: pytest.FixtureRequest, servers: dict[Provider, FakeProvider]) -> World:
    server = servers[request.param]
    server.reply = Reply()
    server.requests.clear()
    return World(request.param, server)


async def test_an_answer_comes_with_its_usage(world: World) -> None:
    world.server.reply = Reply("One two three", cached=2)
    result = await world.generate()
    assert (result.text, result.finish_reason, result.tool_calls) == ("One two three", "stop", ())
    # Anthropic counts what it read from its cache beside the rest of the prompt.
    prompt = 8 if world.provider == "anthropic" else 6
    assert result.usage == Usage(prompt, 3, cached_prompt_tokens=2)
    assert (result.model_reported, result.compute_seconds) == (world.request().model, None)
    assert result.request_id
    assert result.latency_ms > 0


async def test_a_stream_brings_the_same_answer_in_pieces(world: World) -> None:
    world.server.reply = Reply("One two three", cached=2)
    whole = await world.generate()
    texts, _calls, result = pieces(await world.stream())
    assert texts == ["One", " two", " three"]
    assert result.first_token_ms is not None
    assert 0 < result.first_token_ms <= result.latency_ms
    assert dataclasses.replace(result, latency_ms=0, first_token_ms=None) == dataclasses.replace(whole, latency_ms=0)


async def test_pieces_come_while_the_answer_is_written(world: World) -> None:
    world.server.reply = Reply("One two", after=BEGUN[world.provider], then="hang")
    async with world.client() as client:
        events = client.stream(world.request())
        async with asyncio.timeout(5):
            first = await anext(events)
        await events.aclose()
    assert first.text == "One"


async def test_a_connection_is_used_again(world: World) -> None:
    async with world.client() as client:
        for _ in range(2):
            await client.generate(world.request())
            assert [event async for event in client.stream(world.request())]
    assert len({seen.connection for seen in world.server.requests}) == 1


async def test_an_answer_that_is_cut_off_says_so(world: World) -> None:
    world.server.reply = Reply("word " * 20)
    result = await world.generate()
    assert (result.finish_reason, len(result.text.split())) == ("length", 16)
    assert pieces(await world.stream())[2].finish_reason == "length"


async def test_reasoning_is_counted_and_not_shown(world: World) -> None:
    world.server.reply = Reply("Yes", reasoning=7)
    for result in (await world.generate(), pieces(await world.stream())[2]):
        assert result.text == "Yes"
        assert result.usage is not None
        assert (result.usage.completion_tokens, result.usage.reasoning_tokens) == (8, 7)


async def test_a_refusal_is_an_answer_of_its_kind(world: World) -> None:
    world.server.reply = Reply("I will not", refuses=True)
    for result in (await world.generate(), pieces(await world.stream())[2]):
        assert (result.text, result.finish_reason) == ("I will not", "content_filter")


async def test_an_answer_without_usage_has_none(world: World) -> None:
    world.server.reply = Reply("Yes", usage=False)
    assert (await world.generate()).usage is None
    texts, _calls, result = pieces(await world.stream())
    assert (texts, result.text, result.usage) == (["Yes"], "Yes", None)


async def test_a_model_asks_for_tools_and_gets_their_results(world: World) -> None:
    world.server.reply = Reply("", tools=(CALL, CALL))
    request = world.request(tools=(WEATHER,), tool_choice="required", parallel_tool_calls=False)
    asked = await world.generate(request)
    assert (asked.finish_reason, asked.text) == ("tool_calls", "")
    assert [(call.name, json.loads(call.arguments)) for call in asked.tool_calls] == [
        ("get_weather", {"place": "Lucca"})
    ] * 2
    assert len({call.id for call in asked.tool_calls}) == 2
    _texts, deltas, streamed = pieces(await world.stream(request))
    assert streamed.tool_calls == asked.tool_calls
    assert [(delta.index, delta.name) for delta in deltas if delta.name] == [(0, CALL[0]), (1, CALL[0])]
    assert "".join(delta.arguments for delta in deltas if delta.index == 1) == CALL[1]
    world.server.reply = Reply("Sunny")
    results = tuple(ToolResult(call.id, "21 degrees") for call in asked.tool_calls)
    turns = (*request.messages, ToolRequest(asked.tool_calls, "I look"), *results)
    assert (await world.generate(dataclasses.replace(request, messages=turns))).text == "Sunny"


async def test_a_prompt_that_no_json_can_carry_is_never_sent(world: World) -> None:
    with pytest.raises(BadRequest, match="surrogate") as caught:
        await world.generate(world.request(messages=(Message("user", "\ud800"),)))
    assert (caught.value.sent, world.server.requests) == (False, [])


async def test_what_was_set_is_sent_in_the_providers_words(world: World) -> None:
    request = world.request(
        tools=(WEATHER,), tool_choice=UseTool("get_weather"), answer_format=AnswerFormat(SCHEMA, "count")
    )
    await world.generate(request)
    body = world.server.requests[-1].body
    schema = {"type": "json_schema", "name": "count", "schema": SCHEMA, "strict": True}
    expected: dict[Provider, dict[str, Any]] = {
        "compatible": {
            "max_tokens": 16,
            "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
            "response_format": {"type": "json_schema", "json_schema": {k: v for k, v in schema.items() if k != "type"}},
        },
        "openai": {
            "max_output_tokens": 16,
            "store": False,
            "tool_choice": {"type": "function", "name": "get_weather"},
            "text": {"format": schema},
        },
        "anthropic": {
            "max_tokens": 16,
            "system": "Be brief",
            "messages": [{"role": "user", "content": "Say hello to me"}],
            "tool_choice": {"type": "tool", "name": "get_weather"},
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        },
    }
    assert body.items() >= expected[world.provider].items()
    assert "temperature" not in body


@pytest.mark.parametrize(
    ("provider", "changes", "named"),
    [
        ("openai", {"model": "gpt-6-luna", "temperature": 0.0}, "temperature"),
        ("openai", {"model": "o4-mini", "top_p": 0.5}, "top_p"),
        ("openai", {"model": "gpt-5.1", "temperature": 0.0, "reasoning_effort": "low"}, "temperature"),
        ("anthropic", {"temperature": 0.0}, "temperature"),
        ("anthropic", {"top_p": 0.5}, "top_p"),
        ("anthropic", {"seed": 3}, "seed"),
        ("anthropic", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("anthropic", {"answer_format": AnswerFormat()}, "JSON schema"),
        ("anthropic", {"messages": (ToolRequest((ToolCall("t1", "f", "not json"),)),)}, "t1"),
    ],
)
async def test_what_a_provider_refuses_is_refused_by_name_and_not_sent(
    servers: dict[Provider, FakeProvider], provider: Provider, changes: dict[str, Any], named: str
) -> None:
    world = World(provider, servers[provider])
    world.server.requests.clear()
    with pytest.raises(BadRequest, match=named) as caught:
        await world.generate(world.request(**changes))
    assert (caught.value.sent, world.server.requests) == (False, [])


@pytest.mark.parametrize(
    ("provider", "changes"),
    [
        ("openai", {"temperature": 0.0}),
        ("openai", {"model": "gpt-6-luna", "temperature": 1}),
        ("openai", {"model": "gpt-4.1-2025-04-14", "top_p": 0.5}),
        ("anthropic", {"temperature": 1.0}),
        ("anthropic", {"stop": ("x",)}),
    ],
)
async def test_what_a_provider_takes_or_does_anyway_is_not_refused(
    servers: dict[Provider, FakeProvider], provider: Provider, changes: dict[str, Any]
) -> None:
    world = World(provider, servers[provider])
    world.server.reply = Reply("Fine")
    assert (await world.generate(world.request(**changes))).text == "Fine"


@pytest.mark.parametrize(
    ("changes", "named"), [({"seed": 1}, "seed"), ({"stop": ("x",)}, "stop"), ({"max_tokens": 5}, "16")]
)
async def test_openai_is_asked_through_the_api_that_knows_what_is_set(
    servers: dict[Provider, FakeProvider], changes: dict[str, Any], named: str
) -> None:
    world = World("openai", servers["openai"])
    world.server.reply = Reply("Fine")
    world.server.requests.clear()
    plain, special = world.request(), world.request(**changes)
    async with world.client() as client:
        await client.generate(plain)
        assert (await client.generate(special)).text == "Fine"
        assert pieces([event async for event in client.stream(special)])[2].text == "Fine"
    assert [seen.path for seen in world.server.requests] == ["/v1/responses"] + ["/v1/chat/completions"] * 2
    body = world.server.requests[-1].body
    assert body["max_completion_tokens"] == special.max_tokens
    assert "max_tokens" not in body
    with pytest.raises(BadRequest, match=named) as caught:
        await world.generate(special, api="responses")
    assert not caught.value.sent


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gpt-4.1-mini", "/v1/chat/completions"),
        ("gpt-5", "/v1/chat/completions"),
        ("gpt-5-pro", "/v1/responses"),
        ("gpt-5.2-pro-2026-01-20", "/v1/responses"),
        ("gpt-5-codex", "/v1/responses"),
        ("ft:gpt-4.1-mini:ours:pro", "/v1/chat/completions"),
    ],
)
async def test_chat_completions_come_first_where_openai_has_both(
    servers: dict[Provider, FakeProvider], model: str, path: str
) -> None:
    world = World("openai", servers["openai"])
    world.server.requests.clear()
    await world.generate(world.request(model=model), api="chat_first")
    assert [seen.path for seen in world.server.requests] == [path]


LOADING = """
import asyncio, sys, threading
from apps.providers.engine.clients.base import ProviderError
from apps.providers.engine.clients.factory import ClientSpec, client_for
from apps.providers.engine.clients.base import GenerateRequest
from apps.providers.engine.messages import Message

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("openai", "anthropic"):
            print(name, threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Watch())
request = GenerateRequest("m", (Message("user", "hi"),), 16, temperature=None)

async def main():
    for provider in ("openai", "anthropic"):
        client = client_for(ClientSpec(provider, "https://127.0.0.1:1", "key", own_address=True))
        print("made", provider in sys.modules)
        for error in await asyncio.gather(*(client.generate(request) for _ in range(3)), return_exceptions=True):
            assert isinstance(error, ProviderError), error

asyncio.run(main())
"""


def test_an_sdk_is_loaded_by_the_first_call_and_holds_up_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", LOADING], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["made False", "openai False", "made False", "anthropic False"]


def test_equal_requests_have_equal_identities_and_old_ones_keep_theirs() -> None:
    plain = GenerateRequest("m", (Message("user", "hi"),), 5)
    # As answers were cached before there were tools; json.dumps writes tuples and lists alike.
    assert json.dumps(plain.identity(), sort_keys=True) == (
        '{"max_tokens": 5, "messages": [{"content": "hi", "role": "user"}], "model": "m", "seed": null, "stop": [], '
        '"temperature": 0.0, "top_p": null}'
    )


CHANGES: dict[str, Any] = {
    "model": "n", "messages": (Message("user", "ho"),), "max_tokens": 6, "temperature": None, "stop": ("x",), "seed": 1,
    "top_p": 0.5, "tools": (WEATHER,), "tool_choice": "none", "parallel_tool_calls": False,
    "answer_format": AnswerFormat(), "reasoning_effort": "low",
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(GenerateRequest)])
def test_every_part_of_a_request_is_part_of_its_identity(name: str) -> None:
    plain = GenerateRequest("m", (Message("user", "hi"),), 5)
    changed = dataclasses.replace(plain, **{name: CHANGES[name]})
    assert json.dumps(changed.identity(), sort_keys=True) != json.dumps(plain.identity(), sort_keys=True)


def test_a_tools_call_and_its_result_are_part_of_the_identity() -> None:
    turns = (ToolRequest((ToolCall("1", "f", "{}"),), "look"), ToolResult("1", "x"))
    assert GenerateRequest("m", turns, 5).identity()["messages"] == [
        {"role": "assistant", "content": "look", "tool_calls": ({"id": "1", "name": "f", "arguments": "{}"},)},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ]


def test_the_bound_of_a_prompt_counts_tools_and_formats() -> None:
    plain = GenerateRequest("m", (Message("user", "hé"),), 5)
    assert plain.prompt_bytes() == 3
    bigger = dataclasses.replace(plain, tools=(WEATHER,), answer_format=AnswerFormat(SCHEMA))
    assert bigger.prompt_bytes() > 3 + len(json.dumps(SCHEMA)) + len(WEATHER.description)
