"""The list of models: what a team has, and what the written list offers besides, each with its state and its fix."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.core.artifacts import local_folder
from apps.core.errors import ApplicationError
from apps.core.formats import size_text
from apps.core.jobs import AT_WORK
from apps.core.models import JobStatus
from apps.providers.availability import (
    NO_KEY,
    STAYS,
    Hindrance,
    forbidden_to_leave,
    hindrance,
    key_hindrance,
    retired_sentence,
    today,
)
from apps.providers.engine.catalogue import KNOWN_MODELS, KnownModel, serving_bytes
from apps.providers.engine.commercial import CommercialModel, offered_models
from apps.providers.models import LanguageModel, ModelFetch, Provider, ProviderKey
from apps.providers.selectors import PHASES, usable_keys, where_it_runs, where_text_goes

READY, FAILED, RETIRED = LanguageModel.State.READY, LanguageModel.State.FAILED, LanguageModel.State.RETIRED


@dataclass(frozen=True)
class Fix:
    """What makes an unavailable model available: a link, or a button that posts `key` to `url`."""

    label: str
    url: str
    key: str = ""


@dataclass(frozen=True)
class ModelEntry:
    """One line of the list. `state` is the name of a badge, `detail` says in words what is the matter."""

    name: str
    note: str
    state: str
    state_label: str
    detail: str
    where: str
    context_length: int
    memory_bytes: int | None
    model: LanguageModel | None = None
    known: KnownModel | None = None
    fix: Fix | None = None
    # A provider's model, whether the team has it or not; what it is called there, and until when it answers.
    provider: str = ""
    provider_model: str = ""
    retires_on: date | None = None
    replaced_by: str = ""
    # Made, and yet nothing can be made with it now: retired by its provider, without a key, or forbidden by the team.
    hindered: bool = False

    @property
    def ready(self) -> bool:
        return self.model is not None and self.model.state == READY and not self.hindered

    @property
    def selectable(self) -> bool:
        """A model that is not ready may be chosen only together with what makes it so."""
        return self.ready or self.fix is not None


def known_entries(*, team: Any, models: Iterable[LanguageModel]) -> list[ModelEntry]:
    """One entry for each model of the written list, whether the team has it or not."""
    by_name = {model.served_name: model for model in models}
    entries = []
    for known in KNOWN_MODELS:
        found = [by_name[name] for name in (known.served_name, *known.also_served) if name in by_name]
        found.sort(key=lambda model: model.state != READY)
        entries.append(model_entry(found[0], known=known, team=team) if found else _absent(known, team))
    return entries


def known_names() -> set[str]:
    """Served names of the written list's models."""
    return {name for known in KNOWN_MODELS for name in (known.served_name, *known.also_served)}


def model_entry(model: LanguageModel, *, team: Any, known: KnownModel | None = None) -> ModelEntry:
    """The entry of a model that the team has."""
    if model.provider:
        return _added_commercial(model, team)
    fetch: ModelFetch | None = getattr(model, "fetch", None)
    state, label, detail, fix = str(model.state), "", "", None
    if model.state == FAILED:
        detail = model.error
        if fetch is not None:
            label, fix = _failed_fetch(fetch, known, team)
    elif model.state != READY and fetch is not None and fetch.status in (*AT_WORK, JobStatus.PAUSED):
        state, detail = str(fetch.status), str(PHASES.get(fetch.phase, ""))
    return ModelEntry(
        name=model.name,
        note=model.note,
        state=state,
        state_label=label,
        detail=detail,
        where=where_it_runs(model),
        context_length=model.context_length,
        memory_bytes=memory_bytes(model),
        model=model,
        known=known,
        fix=fix,
    )


def _failed_fetch(fetch: ModelFetch, known: KnownModel | None, team: Any) -> tuple[str, Fix | None]:
    if fetch.error_code == "hub_unreachable":
        return _("Hub not reachable: give a folder"), Fix(_("Add from a folder"), _add_url(team))
    if known is not None:
        return "", Fix(_("Download again"), reverse("model_download", args=[team.slug]), known.key)
    return "", Fix(_("Add again"), _add_url(team))


def _absent(known: KnownModel, team: Any) -> ModelEntry:
    if _on_disk(known):
        state, label = "planned", _("On this machine, not added")
        fix = Fix(_("Add model"), reverse("model_on_disk", args=[team.slug]), known.key)
    else:
        size = download_size(known)
        state, label = "planned", _("Not on this machine")
        fix = Fix(_("Download %(size)s") % {"size": size}, reverse("model_download", args=[team.slug]), known.key)
    return ModelEntry(
        name=known.name,
        note=_("%(repository)s, %(licence)s") % {"repository": known.repository, "licence": known.licence},
        state=state,
        state_label=label,
        detail="",
        where=_("Runs here"),
        context_length=known.context_length,
        memory_bytes=serving_bytes(known.parameters),
        known=known,
        fix=fix,
    )


def download_size(known: KnownModel) -> str:
    """How much comes over the line, and whether that is known or only estimated."""
    size = size_text(known.weights_bytes)
    return size if known.size_is_exact else _("about %(size)s") % {"size": size}


def _on_disk(known: KnownModel) -> bool:
    try:
        return any((local_folder(f"models/{name}") / "hf").is_dir() for name in known.also_served)
    except ApplicationError:
        return False


def _add_url(team: Any) -> str:
    return reverse("model_add", args=[team.slug])


def commercial_entries(*, team: Any, provider: str, models: Iterable[LanguageModel], keys: int) -> list[ModelEntry]:
    """A provider's models that the team has added, then what else the written list offers of it; retired ones last.

    `models` have their `provider_key` with them; `keys` is how many of the team's keys of this provider can be used.
    """
    added = [_added_commercial(model, team) for model in models if model.provider == provider]
    names = {entry.provider_model for entry in added}
    offered = [offer for offer in offered_models(provider) if offer.name not in names]
    entries = [*added, *(_offered_commercial(offer, team, keys) for offer in offered)]
    return sorted(entries, key=lambda entry: entry.state == RETIRED)


def _added_commercial(model: LanguageModel, team: Any) -> ModelEntry:
    model.team = team
    found, key = hindrance(model), model.provider_key
    state, label, fix = str(model.state), "", None
    detail = found.says if found is not None else ""
    if found is not None:
        state, label, fix = _hindered(found, team)
    elif model.state == READY and key is not None and key.state == ProviderKey.State.FAILING:
        state, label, detail = FAILED, _("Its key fails"), key.check_error
        fix = Fix(_("See the key"), _keys_url(team))
    return ModelEntry(
        name=model.name,
        note=model.served_name if model.served_name != model.name else model.note,
        state=state,
        state_label=label,
        detail=detail,
        where=where_it_runs(model),
        context_length=model.context_length,
        memory_bytes=None,
        model=model,
        fix=fix,
        provider=model.provider,
        provider_model=model.provider_model,
        retires_on=model.retires_on,
        replaced_by=model.replaced_by,
        hindered=found is not None,
    )


def _offered_commercial(offer: CommercialModel, team: Any, keys: int) -> ModelEntry:
    state, label, detail = "planned", _("Not added"), ""
    fix: Fix | None = Fix(_("Add model"), reverse("model_commercial", args=[team.slug]), offered_key(offer))
    found = forbidden_to_leave(team=team, provider=offer.provider)
    if offer.retires_on is not None and offer.retired(today()):
        state, label, fix = RETIRED, "", None
        detail = retired_sentence(offer.provider, offer.name, offer.retires_on, offer.replaced_by)
    elif found is not None or not keys:
        found = found or key_hindrance(offer.provider, None)
        # What is so for all of them the section says once.
        if found is not None:
            state, label, fix = _hindered(found, team)
    return ModelEntry(
        name=offer.label,
        note=offer.name,
        state=state,
        state_label=label,
        detail=detail,
        where=where_text_goes(offer.provider),
        context_length=offer.context_length,
        memory_bytes=None,
        fix=fix,
        provider=offer.provider,
        provider_model=offer.name,
        retires_on=offer.retires_on,
        replaced_by=offer.replaced_by,
    )


def _hindered(found: Hindrance, team: Any) -> tuple[str, str, Fix | None]:
    """State, words and way out of what cannot be called."""
    if found.code == NO_KEY:
        return "unkeyed", "", Fix(_("Add a key"), _keys_url(team))
    if found.code == STAYS:
        return "locked", _("Text may not leave"), Fix(_("Provider settings"), _keys_url(team))
    return RETIRED, "", None


def offered_key(offer: CommercialModel) -> str:
    """What a form sends for a model of the commercial list: provider and name."""
    return f"{offer.provider}:{offer.name}"


def _keys_url(team: Any) -> str:
    return reverse("provider_keys", args=[team.slug])


def parameters_of(model: LanguageModel) -> int | None:
    """How many numbers the model holds, by what is known of it or of its base; None where nobody has counted."""
    counted = model.facts.get("parameters")
    if isinstance(counted, int):
        return counted
    for known in KNOWN_MODELS:
        if model.served_name in (known.served_name, *known.also_served):
            return known.parameters
    base = str(model.facts.get("base_model") or "")
    return next((known.parameters for known in KNOWN_MODELS if base and known.name in base), None)


def memory_bytes(model: LanguageModel) -> int | None:
    """Memory that answering takes at least; None for what is no model, or where its size is not known."""
    if model.kind not in (LanguageModel.Kind.LOCAL, LanguageModel.Kind.TRAINED):
        return None
    parameters = parameters_of(model)
    return serving_bytes(parameters) if parameters else None


def model_choices(*, user: Any, team: Any) -> list[ModelEntry]:
    """What a form may offer: every model that is no baseline, and the rest of the written lists, each with its fix."""
    rows = LanguageModel.objects.for_user(user).filter(team=team).exclude(kind=LanguageModel.Kind.BASELINE)
    models = list(rows.select_related("fetch", "provider_key"))
    listed = known_names()
    own = [model_entry(model, team=team) for model in models if model.served_name not in listed and not model.provider]
    keys = usable_keys(user=user, team=team)
    commercial = [
        entry
        for provider in Provider.values
        for entry in commercial_entries(team=team, provider=provider, models=models, keys=keys.get(provider, 0))
        # Without a key, what the list offers would be fifteen lines that all say so.
        if entry.model is not None or (entry.fix is not None and entry.fix.key)
    ]
    return [*own, *known_entries(team=team, models=models), *commercial]


def upload_limit_bytes() -> int:
    """How large an archive may be that is sent to this installation."""
    return int(settings.MODEL_UPLOAD_MAX_BYTES)
