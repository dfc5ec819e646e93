"""Reads of models."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db.models import Case, F, IntegerField, QuerySet, When
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.access import fetch_for_user
from apps.core.artifacts import local_folder
from apps.providers.availability import key_hindrance, sent_to, stays_inside
from apps.providers.connections import VARIABLES, last_four, unreadable
from apps.providers.models import LanguageModel, Provider, ProviderKey

PHASES: dict[str, Promise] = {
    "download": gettext_lazy("Download"),
    "unpack": gettext_lazy("Copy and check"),
    "merge": gettext_lazy("Merge with the base"),
    "convert": gettext_lazy("Convert for serving"),
    "prove": gettext_lazy("Compare with transformers"),
}


def language_models(*, user: Any, team: Any) -> QuerySet[LanguageModel]:
    """Models of a team, newest first."""
    return LanguageModel.objects.for_user(user).filter(team=team)


def free_ones_last(models: QuerySet[LanguageModel]) -> QuerySet[LanguageModel]:
    """Newest first, with the baselines, which every experiment makes, after what somebody has trained or added."""
    free = Case(When(kind=LanguageModel.Kind.BASELINE, then=1), default=0, output_field=IntegerField())
    return models.annotate(free=free).order_by("free", "-id")


def language_model(*, user: Any, team: Any, uid: Any) -> LanguageModel:
    return fetch_for_user(LanguageModel, user, team=team, uid=uid)


def provider_keys(*, user: Any, team: Any) -> QuerySet[ProviderKey]:
    """Keys of a team, those that were revoked last."""
    rows = ProviderKey.objects.for_user(user).filter(team=team)
    return rows.order_by(F("revoked_at").desc(nulls_first=True), "provider", "name", "id")


def provider_key(*, user: Any, team: Any, uid: Any, action: str = "view") -> ProviderKey:
    return fetch_for_user(ProviderKey, user, action, team=team, uid=uid)


def live_keys(*, user: Any, team: Any) -> QuerySet[ProviderKey]:
    """Keys that were not revoked, by provider and name."""
    return ProviderKey.objects.for_user(user).filter(team=team, revoked_at=None).order_by("provider", "name", "id")


@dataclass(frozen=True)
class ProviderKeyRow:
    """A key as pages and the API show it: `shown` are its last four characters, `missing` says why it opens nothing."""

    key: ProviderKey
    shown: str
    where: str
    models: list[LanguageModel]
    missing: str

    @property
    def state(self) -> str:
        return "failed" if self.missing and self.key.revoked_at is None else str(self.key.state)


def provider_key_rows(keys: Iterable[ProviderKey]) -> list[ProviderKeyRow]:
    """The given keys with what is used with each, in one query more."""
    keys = list(keys)
    used: dict[int, list[LanguageModel]] = {}
    for model in LanguageModel.objects.filter(provider_key__in=[key.pk for key in keys]).order_by("name", "id"):
        used.setdefault(model.provider_key_id or 0, []).append(model)
    return [_provider_key_row(key, used.get(key.pk, [])) for key in keys]


def _provider_key_row(key: ProviderKey, models: list[LanguageModel]) -> ProviderKeyRow:
    shown, address = key.last_four, key.base_url
    if key.source == ProviderKey.Source.ENVIRONMENT:
        shown = last_four(settings.PROVIDER_API_KEYS.get(key.provider, ""))
        address = settings.PROVIDER_BASE_URLS.get(key.provider, "")
    return ProviderKeyRow(key, shown, where_text_goes(key.provider, address), models, unreadable(key))


def usable_keys(*, user: Any, team: Any) -> dict[str, int]:
    """How many keys a team has for each provider that calls could be made with."""
    live = ProviderKey.objects.for_user(user).filter(team=team, revoked_at=None)
    found: dict[str, int] = {}
    for key in live.only("provider", "source", "name", "revoked_at"):
        if key_hindrance(key.provider, key) is None:
            found[key.provider] = found.get(key.provider, 0) + 1
    return found


@dataclass(frozen=True)
class EnvironmentOffer:
    """A key that the operator offers in the environment and this team has not taken up, or has given back."""

    provider: str
    label: str
    variable: str
    last_four: str
    given_back: bool


def environment_offers(*, user: Any, team: Any) -> list[EnvironmentOffer]:
    """Keys of the environment that a team could take up."""
    rows = ProviderKey.objects.for_user(user).filter(team=team, source=ProviderKey.Source.ENVIRONMENT)
    taken = dict(rows.order_by("id").values_list("provider", "revoked_at"))
    live = set(rows.filter(revoked_at=None).values_list("provider", flat=True))
    return [
        EnvironmentOffer(
            provider, str(Provider(provider).label), VARIABLES[provider], last_four(secret), provider in taken
        )
        for provider, secret in settings.PROVIDER_API_KEYS.items()
        if secret and provider not in live
    ]


def base_choices(*, user: Any, team: Any) -> list[tuple[str, str]]:
    """Ready models that an adapter can be added to, as choices of a form."""
    ready = language_models(user=user, team=team).filter(state=LanguageModel.State.READY)
    kinds = (LanguageModel.Kind.LOCAL, LanguageModel.Kind.TRAINED)
    return [(str(model.uid), model.name) for model in ready.filter(kind__in=kinds)]


def upload_path(stored: str) -> Path:
    """Where a file that was sent waits for its import; its name is ours, never the sender's."""
    return Path(settings.VAR_DIR) / "uploads" / "models" / stored


def where_it_runs(model: LanguageModel) -> str:
    """The process that answers for a model, in words."""
    if model.kind == LanguageModel.Kind.BASELINE:
        return _("Computed directly, without a model")
    if model.provider:
        return where_text_goes(model.provider, model.provider_key.base_url if model.provider_key else "")
    if model.facts.get("backend") == "transformers":
        return _("Runs here, with transformers: CTranslate2 cannot serve it")
    return _("Runs here")


def where_text_goes(provider: str, base_url: str = "") -> str:
    """Who reads the text of a call to a provider or a compatible server."""
    if stays_inside(base_url):
        return _("Runs at %(host)s, inside your network") % {"host": sent_to(provider, base_url)}
    return _("Sends text to %(provider)s") % {"provider": sent_to(provider, base_url)}


@dataclass(frozen=True)
class ModelFolder:
    """One folder of a model's files: where it lies on this machine, and what it holds."""

    path: str
    holds: str


@dataclass(frozen=True)
class ModelFiles:
    """A model's folders, and the lines of Python that open it with the libraries that everybody has."""

    folders: list[ModelFolder]
    code: str


def model_files(model: LanguageModel) -> ModelFiles:
    """Folders of a model that lie on this machine's disk; none for a baseline, or for artefacts stored elsewhere."""
    found = _folders(model)
    shown = [ModelFolder(_shown(path), str(_HOLDS[name])) for name, path in found.items()]
    if "adapter" in found and (base := _weights(base_of(model))):
        return ModelFiles(shown, _WITH_ADAPTER % {"base": _shown(base), "adapter": _shown(found["adapter"])})
    whole = _weights(model)
    return ModelFiles(shown, _WHOLE % {"model": _shown(whole)} if whole else "")


_HOLDS = {
    "adapter": gettext_lazy("PEFT adapter"),
    "merged": gettext_lazy("Base and adapter in one, safetensors"),
    "hf": gettext_lazy("Weights, safetensors"),
    "ct2": gettext_lazy("CTranslate2, as served"),
}
_WITH_ADAPTER = """from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("%(base)s")
model = PeftModel.from_pretrained(base, "%(adapter)s")"""
_WHOLE = """from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("%(model)s")"""


def _folders(model: LanguageModel | None) -> dict[str, Path]:
    if model is None or not model.artifact or not isinstance(storages["artifacts"], FileSystemStorage):
        return {}
    folder = local_folder(model.artifact)
    return {name: folder / name for name in _HOLDS if (folder / name).is_dir()}


def _weights(model: LanguageModel | None) -> Path | None:
    """The folder that transformers opens."""
    folders = _folders(model)
    return folders.get("merged") or folders.get("hf")


def base_of(model: LanguageModel) -> LanguageModel | None:
    """What the model was trained from, by the revision that its training froze."""
    revision = model.facts.get("base_revision")
    return LanguageModel.objects.filter(team=model.team, revision=revision).first() if revision else None


def _shown(path: Path) -> str:
    """As it is typed in the folder that LLMOpt was started in."""
    root = Path(settings.BASE_DIR)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
