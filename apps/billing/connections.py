"""Connections to the models that one running piece of work calls, and how much may go through each at once."""

import asyncio
import json
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import cast

from django.conf import settings
from django.utils.translation import gettext as _

from apps.billing.attempts import Limits
from apps.billing.calls import MeteredCall, ModelFacts
from apps.billing.errors import TextMayNotLeave
from apps.core import artifacts
from apps.core.db import in_database, in_database_once
from apps.providers.availability import forbidden_to_leave
from apps.providers.connections import KeyUnavailable, connection_of
from apps.providers.engine.clients.base import Client
from apps.providers.engine.clients.connections import Limits as ClientLimits
from apps.providers.engine.clients.factory import ClientSpec, OpenAIAPI, Provider, client_for
from apps.providers.models import LanguageModel, ProviderKey

# A key that is replaced or revoked, and a team that forbids what leaves the house, hold for every call after this.
FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Connection:
    """`slots` is entered for as long as a call is under way: those that wait in this process need not ask the books."""

    client: Client
    limits: Limits = Limits()
    slots: AbstractAsyncContextManager[object] = nullcontext()


@dataclass(frozen=True, slots=True)
class _Known:
    connection: Connection
    spec: ClientSpec | None
    until: float


class Connections:
    """Opens a connection with the first call that needs it; `ready` gives some by served name."""

    def __init__(self, *, ready: dict[str, Client], timeout_seconds: float, openai_api: OpenAIAPI = "") -> None:
        self._timeout_seconds = timeout_seconds
        self._openai_api: OpenAIAPI = openai_api
        self._known = {name: _Known(Connection(client), None, float("inf")) for name, client in ready.items()}
        self._opened: list[Client] = list(ready.values())

    async def of(self, call: MeteredCall) -> Connection:
        """The connection for a call's model. TextMayNotLeave; KeyUnavailable."""
        model = call.language_model
        if model.provider_key_id is None:
            return await self._of_this_machine(model)
        place = f"{call.team_id}:{model.provider_key_id}"
        known = self._known.get(model.served_name) or self._known.get(place)
        if known is None or known.until < time.monotonic():
            question = ("provider", place, self._timeout_seconds)
            spec, limits = await in_database_once(
                question, _provider_facts, call.team_id, model.provider_key_id, self._timeout_seconds
            )
            spec = replace(spec, api=self._openai_api)
            known = self._known[place] = self._renewed(self._known.get(place), spec, limits)
        return known.connection

    async def aclose(self) -> None:
        """Close every connection, those of replaced keys too."""
        for client in self._opened:
            await client.aclose()
        self._opened.clear()
        self._known.clear()

    async def _of_this_machine(self, model: ModelFacts) -> Connection:
        known = self._known.get(model.served_name)
        if known is None:
            if model.provider:
                raise _no_key()
            made = await in_database(_local_client, model, self._timeout_seconds)
            known = self._known.setdefault(model.served_name, _Known(Connection(made), None, float("inf")))
            self._opened.append(made)
        return known.connection

    def _renewed(self, before: _Known | None, spec: ClientSpec, limits: Limits) -> _Known:
        until = time.monotonic() + FRESH_SECONDS
        if before is not None and before.spec == spec and before.connection.limits == limits:
            return _Known(before.connection, spec, until)
        client = client_for(spec)
        self._opened.append(client)
        slots = asyncio.Semaphore(limits.max_concurrency) if limits.max_concurrency else nullcontext()
        return _Known(Connection(client, limits, slots), spec, until)


def _local_client(model: ModelFacts, timeout_seconds: float) -> Client:
    """A client for what runs here. Connections open with its first call."""
    if model.kind == LanguageModel.Kind.BASELINE:
        from apps.providers.engine.clients.baseline import BaselineClient

        return BaselineClient(json.loads(artifacts.get_bytes(model.artifact)), name=model.served_name)
    from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient

    token_file = settings.INFERENCE_TOKEN_FILE
    token = token_file.read_text().strip() if token_file.exists() else ""
    return OpenAICompatibleClient(settings.INFERENCE_URL, api_key=token, total_seconds=timeout_seconds)


def _provider_facts(team_id: int, provider_key_id: int, timeout_seconds: float) -> tuple[ClientSpec, Limits]:
    key = ProviderKey.objects.select_related("team").filter(team_id=team_id, pk=provider_key_id).first()
    if key is None:
        raise _no_key()
    opened = connection_of(key)
    forbidden = forbidden_to_leave(team=key.team, provider=key.provider, base_url=key.base_url)
    if forbidden is not None:
        raise TextMayNotLeave(forbidden.says)
    spec = ClientSpec(
        provider=cast(Provider, opened.provider),
        base_url=opened.base_url,
        api_key=opened.api_key,
        allowed_hosts=tuple(settings.PROVIDER_HOSTS),
        own_address=key.source == ProviderKey.Source.ENVIRONMENT,
        limits=ClientLimits(total_seconds=timeout_seconds),
    )
    return spec, Limits(key.max_concurrency, key.requests_per_minute)


def _no_key() -> KeyUnavailable:
    return KeyUnavailable(_("This model has no provider key. Give it one in the provider settings."))
