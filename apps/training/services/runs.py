"""Planning, starting and stopping training runs."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import audit, jobs
from apps.core.access import require
from apps.core.errors import ApplicationError
from apps.core.models import JobStatus
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.providers.models import LanguageModel
from apps.providers.services import language_model_create, language_model_failed, language_model_planned_again
from apps.training.datacheck import measured_of, refusal_text, start_refusals
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import Planned
from apps.training.services.plans import plan_check


def training_run_create(
    *,
    actor: Any,
    team: Any,
    name: str,
    base_model: LanguageModel,
    dataset_version: DatasetVersion,
    prompt_version: PromptVersion,
    spec: dict[str, Any],
    limits: dict[str, Any] | None = None,
    preflight: Preflight | None = None,
) -> TrainingRun:
    """Plan a run, and with it the model that it will make ready. `spec`: the engine's fields without paths.

    `limits` as TrainingRun.limits; `preflight` measured this very plan, or the plan whose time limit became `limits`.
    Without one, an earlier preflight of exactly this plan says what the run will take.
    """
    plan = Planned(base_model, dataset_version, prompt_version, spec, limits or {})
    plan_check(actor=actor, team=team, plan=plan)
    preflight = preflight or measured_of(team.pk, plan.digest)
    measured = preflight.result if preflight is not None else {}
    with transaction.atomic():
        run = TrainingRun(
            team=team,
            name=name,
            base_model=base_model,
            dataset_version=dataset_version,
            prompt_version=prompt_version,
            spec=spec,
            limits=limits or {},
            preflight=preflight,
            predicted_low=measured.get("seconds_low"),
            predicted_high=measured.get("seconds_high"),
            created_by=actor,
        )
        run.language_model = language_model_create(
            actor=actor,
            team=team,
            name=name,
            kind=LanguageModel.Kind.TRAINED,
            served_name=f"trained-{run.uid}",
            note=_("Fine-tuned from %(model)s. %(note)s") % {"model": base_model.name, "note": base_model.note},
            # For who registers the model before it exists.
            facts=run_plan(run),
        )
        run.save()
        audit.record(actor=actor, verb="training_run.created", target=run, name=name, spec=spec)
    return run


def run_plan(run: TrainingRun) -> dict[str, Any]:
    """What decides the weights. The lineage of what was trained holds the same under the same names."""
    return {
        "spec": run.spec,
        **({"limits": run.limits} if run.limits else {}),
        "base_revision": run.base_model.revision,
        "dataset": run.dataset_version.content_hash,
        "prompt": run.prompt_version.content_hash,
    }


def training_run_start(*, actor: Any, run: TrainingRun) -> bool:
    """Queue a planned run. False when it was queued before. ApplicationError when its rows must not be trained on."""
    require(run, actor, "edit")
    if run.status != JobStatus.PLANNED:
        return False
    refused = start_refusals(run)
    if refused:
        raise ApplicationError(refusal_text(refused[0]), code="training_refused")
    with transaction.atomic():
        audit.record(actor=actor, verb="training_run.started", target=run)
        return jobs.enqueue(run)


def training_run_failed(*, actor: Any, run: TrainingRun) -> None:
    """Say on the model, too, that its run has failed."""
    require(run, actor, "edit")
    language_model_failed(actor=actor, model=run.language_model, error=run.error)


def training_run_cancelled(*, actor: Any, run: TrainingRun) -> None:
    """Say on the model, too, that nobody is making it any more."""
    require(run, actor, "edit")
    language_model_failed(actor=actor, model=run.language_model, error=_("Its training was cancelled."))


def training_run_taken_up(*, actor: Any, run: TrainingRun) -> None:
    """Take back what an earlier end of this run said on the model: it is being made again."""
    require(run, actor, "edit")
    language_model_planned_again(actor=actor, model=run.language_model)
