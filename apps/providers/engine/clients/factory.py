"""From what is known of a provider to the client that calls it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import Auth, Client
from apps.providers.engine.clients.connections import Limits
from apps.providers.engine.outbound import BaseUrlRefused, Gate

Provider = Literal["openai", "anthropic", "compatible"]


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

    Raises ``BaseUrlRefused`` for an address that requests may not go to, and ``Auth`` where a key is missing.
    """
    gate = Gate(spec.base_url, spec.allowed_hosts) if spec.base_url and not spec.own_address else None
    address = gate.url if gate else spec.base_url
    if spec.provider == "compatible":
        if not address:
            raise BaseUrlRefused(gettext_noop("An OpenAI-compatible server needs its base URL."))
        return _wire(spec, address, gate)
    if not spec.api_key:
        raise Auth(gettext_noop("There is no key for this provider; nothing was sent."), sent=False)
    if spec.provider == "anthropic":
        from apps.providers.engine.clients import anthropic_messages

        return anthropic_messages.AnthropicMessagesClient(
            api_key=spec.api_key, base_url=address or anthropic_messages.BASE_URL, limits=spec.limits, gate=gate
        )
    if spec.api == "chat_completions":
        return _wire(spec, address or "https://api.openai.com/v1", gate)
    from apps.providers.engine.clients import openai_responses

    return openai_responses.OpenAIResponsesClient(
        api_key=spec.api_key, base_url=address or openai_responses.BASE_URL, limits=spec.limits, gate=gate
    )


def _wire(spec: ClientSpec, address: str, gate: Gate | None) -> Client:
    from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient

    return OpenAICompatibleClient(address, api_key=spec.api_key, limits=spec.limits, gate=gate, provider=spec.provider)
