"""Models that run at a provider: made known to a team, given another key, and retired when their day has come."""

import hashlib
import logging
import re
from typing import Any

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from apps.core import audit, live
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.providers.availability import (
    ModelUnavailable,
    forbidden_to_leave,
    key_hindrance,
    provider_named,
    retired_sentence,
    today,
)
from apps.providers.engine.commercial import commercial_model
from apps.providers.models import LanguageModel, Provider, ProviderKey
from apps.providers.services.language_models import language_model_create

log = logging.getLogger(__name__)

# What providers and servers call their models: gpt-5-mini, ft:gpt-4o:acme::id, qwen2.5:7b, org/model@revision.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,139}")
LONGEST_CONTEXT = 100_000_000


def language_model_add_commercial(
    *,
    actor: Any,
    team: Any,
    provider: str,
    provider_model: str,
    key: ProviderKey | None = None,
    name: str = "",
    context_length: int | None = None,
) -> LanguageModel:
    """Make a provider's model known to a team. The same model again gives the same row, with a key if it had none.

    Without `key` the team's first working key of that provider is taken; a compatible server is named by its key. A
    model that nobody publishes a price of is not called before the team has set one.
    """
    provider_model = provider_model.strip()
    _check_name(provider, provider_model)
    with transaction.atomic():
        require(team, actor, "edit")
        key = _key_for(team, provider, key)
        _check_place(team, provider, key)
        known = commercial_model(provider, provider_model)
        if known is not None and known.retires_on is not None and known.retired(today()):
            said = retired_sentence(provider, provider_model, known.retires_on, known.replaced_by)
            raise ModelUnavailable(said, code="model_retired", field="provider_model")
        context = known.context_length if known is not None else _checked_context(context_length)
        served_name = _served_name(provider, provider_model, key)
        model = language_model_create(
            actor=actor,
            team=team,
            name=name.strip()[:160] or (known.label if known is not None else provider_model),
            kind=LanguageModel.Kind.COMMERCIAL,
            served_name=served_name,
            state=LanguageModel.State.READY,
            revision=_revision(key),
            context_length=context,
            provider=provider,
            provider_model=provider_model,
            provider_key=key,
            retires_on=known.retires_on if known is not None else None,
            replaced_by=known.replaced_by if known is not None else "",
        )
        if model.provider != provider:
            raise Conflict(
                _("This team has a model called %(name)s already, and it runs here.") % {"name": served_name},
                field="provider_model",
            )
        if key is not None and model.provider_key_id != key.pk:
            _give_key(actor, model, key)
    return model


def language_model_key_change(*, actor: Any, model: LanguageModel, key: ProviderKey) -> LanguageModel:
    """Call a provider's model with another of the team's keys from now on."""
    with transaction.atomic():
        require(model, actor, "edit")
        if not model.provider:
            raise ApplicationError(_("This model runs here and needs no key."), field="key")
        _key_for(model.team, model.provider, key)
        if model.provider == Provider.COMPATIBLE and key.base_url != _address_of(model):
            said = _("This key is for another server, and what answers there is another model. Add it as one.")
            raise ApplicationError(said, field="key")
        _give_key(actor, model, key)
    return model


def language_models_retire(*, actor: Any) -> int:
    """Bring what is written down of each model up to date, and retire those whose day has come."""
    retired = 0
    for model in LanguageModel.objects.exclude(provider="").exclude(state=LanguageModel.State.RETIRED):
        known = commercial_model(model.provider, model.provider_model)
        if known is None:
            continue
        with transaction.atomic():
            rows = LanguageModel.objects.filter(pk=model.pk).exclude(state=LanguageModel.State.RETIRED)
            rows.update(retires_on=known.retires_on, replaced_by=known.replaced_by)
            if known.retired(today()) and rows.update(state=LanguageModel.State.RETIRED):
                audit.record(
                    actor=actor, verb="language_model.retired", target=model, name=model.name, then=known.replaced_by
                )
                live.publish(model, "status")
                retired += 1
    if retired:
        log.info("models were retired by their providers", extra={"models": retired})
    return retired


def _check_name(provider: str, provider_model: str) -> None:
    provider_named(provider)
    if not _NAME.fullmatch(provider_model):
        raise ApplicationError(
            _(
                "Give the provider's own name of the model, such as gpt-6-luna: letters, digits and . _ : / @ + - "
                "alone, 140 at most."
            ),
            field="provider_model",
        )


def _key_for(team: Any, provider: str, key: ProviderKey | None) -> ProviderKey | None:
    if key is None:
        if provider == Provider.COMPATIBLE:
            raise ApplicationError(_("Choose the server that has this model."), field="key")
        keys = ProviderKey.objects.filter(team=team, provider=provider, revoked_at=None)
        # A working one before one that nobody has tested, a failing one last.
        order = {ProviderKey.State.WORKING: 0, ProviderKey.State.UNTESTED: 1}
        usable = [row for row in keys if key_hindrance(provider, row) is None]
        return min(usable, key=lambda row: (order.get(ProviderKey.State(row.state), 2), row.pk), default=None)
    if key.team_id != team.pk or key.provider != provider:
        raise ApplicationError(_("This key is not one of this team for this provider."), field="key")
    if key.revoked_at is not None:
        raise Conflict(_("The key “%(name)s” was revoked. Choose another.") % {"name": key.name}, field="key")
    return key


def _check_place(team: Any, provider: str, key: ProviderKey | None) -> None:
    forbidden = forbidden_to_leave(team=team, provider=provider, base_url=key.base_url if key else "")
    if forbidden is not None:
        raise ModelUnavailable(forbidden.says, code=forbidden.code, field="provider_model")


def _checked_context(length: int | None) -> int:
    if length is None or not 1 <= length <= LONGEST_CONTEXT:
        said = _("Say how many tokens its context holds: the provider's page of the model states it.")
        raise ApplicationError(said, field="context_length")
    return length


def _served_name(provider: str, provider_model: str, key: ProviderKey | None) -> str:
    """The name in our API: a provider's own, or that of a compatible server with the server's before it."""
    if provider != Provider.COMPATIBLE or key is None:
        return provider_model
    return f"{slugify(key.name)[:18] or 'server'}/{provider_model}"


def _revision(key: ProviderKey | None) -> str:
    """Another server behind the same name answers differently; the response cache must not mix them."""
    return hashlib.sha256(key.base_url.encode()).hexdigest()[:12] if key is not None and key.base_url else ""


def _address_of(model: LanguageModel) -> str:
    return model.provider_key.base_url if model.provider_key is not None else ""


def _give_key(actor: Any, model: LanguageModel, key: ProviderKey) -> None:
    model.provider_key, model.revision = key, _revision(key)
    model.save(update_fields=["provider_key", "revision"])
    audit.record(actor=actor, verb="language_model.key_changed", target=model, name=model.name, key=key.name)
