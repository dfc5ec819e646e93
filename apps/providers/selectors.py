"""Reads of models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db.models import Case, IntegerField, QuerySet, When
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.access import fetch_for_user
from apps.core.artifacts import local_folder
from apps.providers.models import LanguageModel

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
    if model.kind == LanguageModel.Kind.COMMERCIAL:
        provider = model.facts.get("provider")
        return _("Sends text to %(provider)s") % {"provider": provider} if provider else _("Sends text to its provider")
    if model.facts.get("backend") == "transformers":
        return _("Runs here, with transformers: CTranslate2 cannot serve it")
    return _("Runs here")


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
