"""Reads of the page of a new run: what can be chosen, what a query chooses, and what was measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.billing.errors import UnknownPrice
from apps.billing.selectors import price_for
from apps.core.access import fetch_for_user
from apps.core.errors import NotFound, translated
from apps.core.formats import setting_lines
from apps.core.models import JobStatus
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.experiments.selectors import dataset_versions
from apps.providers.models import LanguageModel
from apps.training.datacheck import preflight_of, refusals_in
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import PRESETS, Planned, preset_numbers, rate_text, spec_of
from apps.training.queueing import queue_text
from apps.training.services.plans import TRAINABLE

NEW_PROMPT = "new"
FROM_RUN = "run:"
_NANOUSD_HOUR_SECONDS = 3600
Choice = tuple[str, str]


def trainable_models(*, user: Any, team: Any) -> QuerySet[LanguageModel]:
    """Models whose weights lie here, newest first."""
    found = LanguageModel.objects.for_user(user).filter(team=team, state=LanguageModel.State.READY)
    return found.filter(kind__in=TRAINABLE).exclude(artifact="")


def suitable_prompts(*, user: Any, team: Any) -> list[PromptVersion]:
    """Prompt versions whose last message is the user's: what follows it is what is trained."""
    found = PromptVersion.objects.for_user(user).filter(prompt__team=team).select_related("prompt").order_by("-id")
    return [version for version in found if version.messages and version.messages[-1].get("role") == "user"]


@dataclass(frozen=True)
class PlanChoices:
    dataset_versions: list[Choice]
    base_models: list[Choice]
    prompt_versions: list[Choice]
    presets: list[Choice]


def plan_choices(*, user: Any, team: Any, like: TrainingRun | None = None) -> PlanChoices:
    versions = [
        (str(version.uid), _("%(name)s, %(count)s training rows") % {"name": version, "count": version.train_count})
        for version in dataset_versions(user=user, team=team)
    ]
    models = [(str(model.uid), model.name) for model in trainable_models(user=user, team=team)]
    prompts = [(str(version.uid), str(version)) for version in suitable_prompts(user=user, team=team)]
    prompts.append((NEW_PROMPT, _("The input alone (makes a prompt that says nothing else)")))
    presets = [(key, f"{preset.label}: {_numbers(key)}") for key, preset in PRESETS.items()]
    if like is not None:
        presets.append((f"{FROM_RUN}{like.uid}", _("As in the run %(name)s") % {"name": like.name}))
    return PlanChoices(versions, models, prompts, presets)


def _numbers(key: str) -> str:
    preset = PRESETS[key]
    rate = _("%(numbers)s; learning rate %(rate)s in full fine-tuning")
    return rate % {"numbers": preset_numbers(preset, "lora"), "rate": rate_text(preset.full_rate)}


@dataclass(frozen=True)
class PlanParts:
    """The objects that a query or a form names; None where it names none."""

    dataset_version: DatasetVersion | None
    base_model: LanguageModel | None
    prompt_version: PromptVersion | None
    like: TrainingRun | None


def plan_parts(*, user: Any, team: Any, data: Mapping[str, Any]) -> PlanParts:
    """NotFound for whatever is not this team's, as if it did not exist."""
    preset = str(data.get("preset", ""))
    return PlanParts(
        _named(DatasetVersion, user, data.get("dataset_version"), dataset__team=team),
        _named(LanguageModel, user, data.get("base_model"), team=team),
        _named(PromptVersion, user, data.get("prompt_version"), prompt__team=team),
        _named(TrainingRun, user, preset.removeprefix(FROM_RUN), team=team) if preset.startswith(FROM_RUN) else None,
    )


def api_parts(*, user: Any, data: Mapping[str, Any]) -> PlanParts:
    """What a request without a team's address names: the dataset version says which team it is about."""
    version: DatasetVersion = fetch_for_user(DatasetVersion, user, uid=data["dataset_version"])
    return plan_parts(user=user, team=version.dataset.team, data={**data, "preset": ""})


def _named(model: Any, user: Any, uid: Any, **lookup: Any) -> Any:
    if not uid or uid == NEW_PROMPT:
        return None
    try:
        wanted = UUID(str(uid))
    except ValueError as error:
        raise NotFound(_("There is no such %(thing)s here.") % {"thing": model._meta.verbose_name}) from error
    return fetch_for_user(model, user, uid=wanted, **lookup)


def spec_for(parts: PlanParts, *, method: str, preset: str) -> dict[str, Any]:
    """The engine's fields of a preset, or of the run that is to be repeated."""
    assert parts.base_model is not None
    if parts.like is None:
        return spec_of(method, PRESETS[preset], parts.base_model)
    spec = {**parts.like.spec, "method": method}
    if method == "full":
        spec.pop("lora", None)
    return spec


def clone_query(run: TrainingRun | Preflight) -> str:
    """The query with which the page of a new run shows this one again."""
    method = str(run.spec.get("method", "lora"))
    preset = next((key for key, known in PRESETS.items() if spec_of(method, known, run.base_model) == run.spec), "")
    values = {
        "dataset_version": run.dataset_version.uid,
        "base_model": run.base_model.uid,
        "prompt_version": run.prompt_version.uid,
        "method": method,
        "preset": preset or f"{FROM_RUN}{run.uid}",
        **_limit_values(run),
    }
    return urlencode({name: value for name, value in values.items() if value not in ("", None)})


def _limit_values(run: TrainingRun | Preflight) -> dict[str, Any]:
    seconds = run.limits.get("max_seconds")
    return {
        "max_minutes": f"{seconds / 60:g}" if seconds else "",
        # With a time limit the count of examples followed from it.
        "max_examples": "" if seconds else run.limits.get("max_examples", ""),
        "leave_out_long": "1" if run.limits.get("leave_out_long") else "",
    }


@dataclass(frozen=True)
class ShownRefusal:
    code: str
    says: str
    fits: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Money:
    low: int
    high: int
    assumed: bool


@dataclass(frozen=True)
class PreflightFacts:
    """A preflight as the page shows it."""

    preflight: Preflight
    result: dict[str, Any]
    refusals: list[ShownRefusal]
    waits: str
    money: Money | None
    settings: list[tuple[str, str]]
    query: str

    @property
    def allowed(self) -> bool:
        return self.preflight.status == JobStatus.SUCCEEDED and not self.refusals

    @property
    def measured(self) -> bool:
        return "seconds_low" in self.result

    @property
    def left_out(self) -> int:
        return int(self.result.get("left_out", {}).get("count", 0))

    @property
    def cut(self) -> int | None:
        found = self.result.get("cut")
        return None if found is None else int(found["train"]) + int(found["validation"])


def preflight(*, user: Any, uid: Any, team: Any = None) -> Preflight:
    """One preflight by its public id; with `team`, only there."""
    lookup = {"uid": uid, **({"team": team} if team is not None else {})}
    found = fetch_for_user(Preflight, user, **lookup)
    related = ("base_model", "dataset_version__dataset", "prompt_version__prompt", "team")
    row: Preflight = Preflight.objects.for_user(user).select_related(*related).get(pk=found.pk)
    return row


def preflight_for_plan(*, team: Any, plan: Planned | None) -> Preflight | None:
    return None if plan is None else preflight_of(team.pk, plan)


def preflight_facts(row: Preflight) -> PreflightFacts:
    result = row.result
    shown = [
        ShownRefusal(
            refusal.code,
            translated(refusal.says),
            translated(refusal.fits) if refusal.fits is not None else "",
            refusal.rows,
        )
        for refusal in refusals_in(row)
    ]
    return PreflightFacts(
        row, result, shown, queue_text(row), money_of(row, result), setting_lines(row.spec), clone_query(row)
    )


def money_of(row: Preflight | TrainingRun, result: Mapping[str, Any]) -> Money | None:
    """What the predicted seconds cost on this machine. Where the team has set no price, the assumed one, marked so."""
    if "seconds_low" not in result:
        return None
    try:
        price = price_for(row.team_id, kind=row.base_model.kind, served_name=row.base_model.served_name)
        per_hour, assumed = int(price.nanousd_per_hour or 0), price.assumed
    except UnknownPrice:
        per_hour, assumed = settings.LOCAL_NANOUSD_PER_HOUR, True
    low, high = (-(-int(result[name] * per_hour) // _NANOUSD_HOUR_SECONDS) for name in ("seconds_low", "seconds_high"))
    return Money(low, high, assumed)
