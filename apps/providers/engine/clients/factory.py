"""From what is known of a provider to the client that calls it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.core.engine.messages import Sentence, gettext_noop
from apps.providers.engine.clients.base import (
    AddressRefused,
    Auth,
    Client,
    GenerateRequest,
    GenerateResult,
    ProviderError,
    StreamEvent,
)
from apps.providers.engine.clients.connections import Limits
from apps.providers.engine.clients.openai_compatible import BASE_URL, KEY, OpenAICompatibleClient
from apps.providers.engine.clients.refusing import fits_responses
from apps.providers.engine.gate import Gate
from apps.providers.engine.outbound import BaseUrlRefused
from apps.providers.engine.parameters import only_responses

Provider = Literal["openai", "anthropic", "compatible"]
#: One of OpenAI's two APIs alone; "" and "chat_first" ask that one first which the request or its model leaves open.
OpenAIAPI = Literal["", "chat_first", "responses", "chat_completions"]
#: Each provider's own address.
BASE_URLS: dict[Provider, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "compatible": "",
}


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """One provider with a key. Its representation never shows the key.

    ``base_url`` empty means the provider's own address. A base URL that a user gave is held against ``allowed_hosts``,
    the operator's list; ``own_address`` says that the operator gave it. ``api`` holds OpenAI to one of its two APIs;
    empty means its Responses API through its SDK, and chat completions for what that has no place for: stop sequences,
    a seed, a bound of the answer below 16 tokens. ``chat_first`` means chat completions, which cost a fraction of the
    SDK's processor time, and the Responses API for models that answer nowhere else.
    """

    provider: Provider
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    own_address: bool = False
    limits: Limits = field(default_factory=Limits)
    api: OpenAIAPI = ""


def client_for(spec: ClientSpec) -> Client:
    """A client that connects with its first call.

    Never fails itself: where the address is one that requests may not go to (by now), or the key is missing, every call
    raises that, ``AddressRefused`` or ``Auth``, as it raises any other failure of a provider.
    """
    try:
        gate = Gate(spec.base_url, spec.allowed_hosts) if spec.base_url and not spec.own_address else None
    except BaseUrlRefused as refused:
        return _Unusable(refused.sentence)
    address = gate.url if gate else spec.base_url or BASE_URLS[spec.provider]
    wrong = _wrong_with(spec, address)
    return _made(spec, address, gate) if wrong is None else wrong


def _wrong_with(spec: ClientSpec, address: str) -> _Unusable | None:
    if not address:
        return _Unusable(Sentence(gettext_noop("This OpenAI-compatible server has no base URL; nothing was sent.")))
    if not BASE_URL.fullmatch(address):
        return _Unusable(Sentence(gettext_noop("The base URL of this provider is none; nothing was sent. Correct it.")))
    if spec.provider != "compatible" and not spec.api_key:
        return _Unusable(Sentence(gettext_noop("There is no key for this provider; nothing was sent.")), kind=Auth)
    if not KEY.fullmatch(spec.api_key):
        template = gettext_noop("The key holds characters that no key has; nothing was sent. Copy it again.")
        return _Unusable(Sentence(template), kind=Auth)
    return None


def _made(spec: ClientSpec, address: str, gate: Gate | None) -> Client:
    options: dict[str, Any] = {"api_key": spec.api_key, "base_url": address, "limits": spec.limits, "gate": gate}
    if spec.provider == "anthropic":
        return _LoadedLate("anthropic_messages", options)
    if spec.provider == "openai" and spec.api == "responses":
        return _LoadedLate("openai_responses", options)
    chat = OpenAICompatibleClient(**options, provider=spec.provider)
    if spec.provider == "openai" and spec.api in ("", "chat_first"):
        return _OpenAI(_LoadedLate("openai_responses", options), chat, chat_first=spec.api == "chat_first")
    return chat


class _LoadedLate:
    """A client that is made of an SDK, which takes a second to load: with the first call, and beside the event loop."""

    def __init__(self, module: str, options: dict[str, Any]) -> None:
        self._module = f"apps.providers.engine.clients.{module}"
        self._options = options
        self._client: Client | None = None

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        return await (self._client or await self._loaded()).generate(request)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        client = self._client or await self._loaded()
        async with aclosing(client.stream(request)) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _loaded(self) -> Client:
        # In a thread even while another call loads it: asking for a module that is half loaded waits.
        module = await asyncio.to_thread(importlib.import_module, self._module)
        # Another call may have been here meanwhile.
        if self._client is None:
            self._client = module.CLIENT(**self._options)
        return self._client


class _OpenAI:
    """Sends each request to the API of OpenAI's that has a place for everything in it."""

    def __init__(self, responses: Client, chat: Client, *, chat_first: bool) -> None:
        self._responses, self._chat, self._chat_first = responses, chat, chat_first

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        return await self._for(request).generate(request)

    def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        return self._for(request).stream(request)

    async def aclose(self) -> None:
        await self._responses.aclose()
        await self._chat.aclose()

    def _for(self, request: GenerateRequest) -> Client:
        wanted = only_responses(request.model) if self._chat_first else fits_responses(request)
        return self._responses if wanted else self._chat


class _Unusable:
    """In the place of a client that cannot be made: its calls say why."""

    def __init__(self, why: Sentence, *, kind: type[ProviderError] = AddressRefused) -> None:
        self._why, self._kind = why, kind

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        raise self._error()

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        raise self._error()
        yield  # what makes this a generator

    async def aclose(self) -> None:
        """Nothing to give back."""

    def _error(self) -> ProviderError:
        params: dict[str, Any] = self._why.params
        return self._kind(self._why.template, sent=False, **params)
