"""A team with a key for a provider whose server runs beside the tests."""

from typing import Any

from apps.accounts.models import Team
from apps.billing.calls import MeteredCall, ModelFacts
from apps.core.encryption import seal
from apps.core.tests.factories import LanguageModelFactory
from apps.providers.engine.clients.base import GenerateRequest
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.tests.fake_provider import KEY, FakeProvider

# $0.40 a million tokens read, $0.10 of those from the provider's cache, $1.60 a million written.
GPT = "gpt-4.1-mini"
# $0.10 and $0.50.
CLAUDE = "claude-haiku-5-5"


def provider_key(
    team: Team, server: FakeProvider, settings: Any, *, provider: str = "openai", **more: Any
) -> ProviderKey:
    """A key for the provider, whose own address is the server beside the tests."""
    if provider == "compatible":
        settings.PROVIDER_HOSTS = list(server.allowed)
        row = ProviderKey(team=team, provider=provider, name="ours", base_url=server.url, **more)
        row.secret = seal(KEY, context=row.secret_context)
        row.save()
        return row
    settings.PROVIDER_API_KEYS = {**settings.PROVIDER_API_KEYS, provider: KEY}
    settings.PROVIDER_BASE_URLS = {**settings.PROVIDER_BASE_URLS, provider: server.url}
    return ProviderKey.objects.create(team=team, provider=provider, name=provider, source="environment", **more)


def commercial_model(key: ProviderKey, name: str = GPT) -> LanguageModel:
    return LanguageModelFactory.create(
        team=key.team,
        kind="commercial",
        provider=key.provider,
        provider_key=key,
        provider_model=name,
        served_name=f"{key.provider}/{name}",
        name=name,
    )


def call_of(model: LanguageModel, text: str = "Say hello to me", **more: Any) -> MeteredCall:
    facts = ModelFacts.of(model)
    request = GenerateRequest(
        facts.call_name, (Message("user", text),), max_tokens=more.pop("max_tokens", 16), temperature=None
    )
    values = {"team_id": model.team_id, "experiment_id": None, "language_model": facts, "request": request}
    return MeteredCall(**{**values, "purpose": "test", **more})
