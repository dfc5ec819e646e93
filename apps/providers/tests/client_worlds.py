"""One client with the fake of its provider, for tests that every client has to pass."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from apps.providers.engine.clients.base import (
    Finished,
    GenerateRequest,
    GenerateResult,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)
from apps.providers.engine.clients.connections import Limits
from apps.providers.engine.clients.factory import ClientSpec, Provider, client_for
from apps.providers.engine.messages import Message
from apps.providers.tests.fake_provider import KEY, FakeProvider

MODELS: dict[Provider, str] = {
    "compatible": "some-model",
    "openai": "gpt-4.1-mini",
    "anthropic": "claude-haiku-5-5",
}
#: After how many events of a stream its first word has come.
BEGUN: dict[Provider, int] = {"compatible": 2, "openai": 5, "anthropic": 4}
#: After how many the reason why "One two" ends has come, and after how many all has come.
COMPLETE: dict[Provider, int] = {"compatible": 4, "openai": 10, "anthropic": 7}
WHOLE: dict[Provider, int] = {"compatible": 6, "openai": 10, "anthropic": 8}


@dataclasses.dataclass(frozen=True)
class World:
    """A provider and its server."""

    provider: Provider
    server: FakeProvider

    def request(self, **changes: Any) -> GenerateRequest:
        messages = (Message("system", "Be brief"), Message("user", "Say hello to me"))
        return dataclasses.replace(GenerateRequest(MODELS[self.provider], messages, 16, temperature=None), **changes)

    def spec(self, **changes: Any) -> ClientSpec:
        limits = Limits(**changes.pop("limits", {}))
        spec = ClientSpec(self.provider, self.server.url, KEY, allowed_hosts=self.server.allowed, limits=limits)
        return dataclasses.replace(spec, **changes)

    @asynccontextmanager
    async def client(self, **changes: Any) -> AsyncIterator[Any]:
        client = client_for(self.spec(**changes))
        try:
            yield client
        finally:
            await client.aclose()

    async def generate(self, request: GenerateRequest | None = None, **changes: Any) -> GenerateResult:
        async with self.client(**changes) as client:
            return await client.generate(request or self.request())

    async def stream(self, request: GenerateRequest | None = None, **changes: Any) -> list[StreamEvent]:
        async with self.client(**changes) as client:
            return [event async for event in client.stream(request or self.request())]


def pieces(events: list[StreamEvent]) -> tuple[list[str], list[ToolCallDelta], GenerateResult]:
    """A stream's texts, its pieces of tool calls, and its result, which must be its last event and its only one."""
    assert [isinstance(event, Finished) for event in events] == [False] * (len(events) - 1) + [True]
    last = events[-1]
    assert isinstance(last, Finished)
    return (
        [event.text for event in events if isinstance(event, TextDelta)],
        [event for event in events if isinstance(event, ToolCallDelta)],
        last.result,
    )
