"""From what is known of a provider to the client that calls it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
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
from apps.providers.engine.gate import Gate
from apps.providers.engine.outbound import BaseUrlRefused

Provider = Literal["openai", "anthropic", "compatible"]
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
    the operator's list; ``own_address`` says that the operator gave it. ``api`` ``chat_completions`` calls OpenAI
    without its SDK, through the API that also knows stop sequences and seeds.
    """

    provider: Provider
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    own_address: bool = False
    limits: Limits = field(default_factory=Limits)
    api: Literal["", "chat_completions"] = ""


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
    if not address:
        return _Unusable(Sentence(gettext_noop("This OpenAI-compatible server has no base URL; nothing was sent.")))
    if spec.provider != "compatible" and not spec.api_key:
        return _Unusable(Sentence(gettext_noop("There is no key for this provider; nothing was sent.")), kind=Auth)
    return _made(spec, address, gate)


def _made(spec: ClientSpec, address: str, gate: Gate | None) -> Client:
    if spec.provider == "anthropic":
        from apps.providers.engine.clients import anthropic_messages

        return anthropic_messages.AnthropicMessagesClient(
            api_key=spec.api_key, base_url=address, limits=spec.limits, gate=gate
        )
    if spec.provider == "openai" and spec.api != "chat_completions":
        from apps.providers.engine.clients import openai_responses

        return openai_responses.OpenAIResponsesClient(
            api_key=spec.api_key, base_url=address, limits=spec.limits, gate=gate
        )
    from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient

    return OpenAICompatibleClient(address, api_key=spec.api_key, limits=spec.limits, gate=gate, provider=spec.provider)


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
