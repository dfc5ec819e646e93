"""Creating an experiment, adding candidates, and freezing the definition before the first test score."""

import hashlib
import json
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core import audit, live
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.experiments import rows
from apps.experiments.models import Candidate, DatasetVersion, Experiment, PromptVersion
from apps.providers.models import LanguageModel


def experiment_create(
    *,
    actor: Any,
    team: Any,
    name: str,
    question: str,
    dataset_version: DatasetVersion,
    metrics: list[str],
    primary_metric: str,
    margin: float,
    alpha: float,
    bootstrap_seed: int,
) -> Experiment:
    """A question that is not asked yet: candidates may be added until it is registered."""
    if primary_metric not in metrics:
        raise ApplicationError(_("The primary metric must be one of the metrics."), field="primary_metric")
    if not margin > 0:
        raise ApplicationError(_("The smallest difference that matters must be above zero."), field="margin")
    if not 0 < alpha < 1:
        raise ApplicationError(_("The significance level must lie between 0 and 1."), field="alpha")
    if dataset_version.owning_team_id != team.pk:
        raise ApplicationError(_("The dataset must belong to the experiment's team."), field="dataset_version")
    with transaction.atomic():
        require(team, actor, "edit")
        require(dataset_version, actor, "view")
        experiment: Experiment = Experiment.objects.create(
            team=team,
            name=name,
            question=question,
            dataset_version=dataset_version,
            answer=dataset_version.answer,
            metrics=metrics,
            primary_metric=primary_metric,
            margin=margin,
            alpha=alpha,
            bootstrap_seed=bootstrap_seed,
            created_by=actor,
        )
        audit.record(actor=actor, verb="experiment.created", target=experiment, name=name)
    return experiment


def candidate_add(
    *,
    actor: Any,
    experiment: Experiment,
    name: str,
    kind: str,
    language_model: Any,
    prompt_version: PromptVersion | None,
    parameters: dict[str, Any],
    trial: bool = False,
) -> Candidate:
    """Add a contender, or (with `trial`) a way of making one that is only compared on validation."""
    with transaction.atomic():
        require(experiment, actor, "edit")
        experiment = _locked(experiment)
        if not trial and experiment.state != Experiment.State.DRAFT:
            raise Conflict(_("This experiment is registered: its candidates are frozen."))
        for part in filter(None, (language_model, prompt_version)):
            if part.owning_team_id != experiment.team_id:
                raise ApplicationError(_("Model and prompt must belong to the experiment's team."), field="model")
        _check_demonstrations(experiment.dataset_version, prompt_version)
        candidate: Candidate = Candidate.objects.create(
            experiment=experiment,
            name=name,
            kind=kind,
            language_model=language_model,
            prompt_version=prompt_version,
            parameters=parameters,
            trial=trial,
            position=experiment.candidates.count(),
        )
        audit.record(actor=actor, verb="candidate.added", target=candidate, name=name, trial=trial)
        live.publish(experiment, "candidates")
    return candidate


def _check_demonstrations(dataset_version: DatasetVersion, prompt_version: PromptVersion | None) -> None:
    """A training row of one dataset may be a test row of another: shown to the model, it would be a leak."""
    shown = [item["input"] for item in prompt_version.demonstrations] if prompt_version is not None else []
    leaks = rows.test_inputs_among(dataset_version, shown) if shown else 0
    if leaks:
        raise ApplicationError(
            _("The prompt shows %(count)d test rows of this experiment's dataset. Choose other demonstrations.")
            % {"count": leaks},
            code="demonstration_in_test",
            field="prompt_version",
        )


def experiment_register(*, actor: Any, experiment: Experiment, reference: Candidate) -> Experiment:
    """Write reference, family and the definition's hash, and freeze the candidates. Once, before any test score."""
    with transaction.atomic():
        require(experiment, actor, "edit")
        experiment.refresh_from_db(from_queryset=Experiment.objects.select_for_update())
        contenders = list(experiment.candidates.filter(trial=False).select_related("language_model", "prompt_version"))
        if reference not in contenders:
            raise ApplicationError(_("The reference must be one of the candidates."), field="reference")
        if len(contenders) < 2:
            raise ApplicationError(_("An experiment compares at least two candidates."))
        family = [[candidate.name, reference.name] for candidate in contenders if candidate != reference]
        now = timezone.now()
        changed = Experiment.objects.filter(pk=experiment.pk, state=Experiment.State.DRAFT).update(
            state=Experiment.State.REGISTERED,
            reference=reference,
            family=family,
            registered_at=now,
            registration_hash=registration_hash(experiment, contenders, reference, family),
        )
        if not changed:
            raise Conflict(_("This experiment is registered already."))
        experiment.candidates.filter(trial=False).update(frozen_at=now)
        experiment.refresh_from_db()
        audit.record(actor=actor, verb="experiment.registered", target=experiment, hash=experiment.registration_hash)
        live.publish(experiment, "status")
    return experiment


def _locked(experiment: Experiment) -> Experiment:
    """The stored row, which nobody registers or changes until the transaction ends."""
    locked: Experiment = Experiment.objects.select_for_update().get(pk=experiment.pk)
    return locked


def registration_hash(
    experiment: Experiment, contenders: list[Candidate], reference: Candidate, family: list[list[str]]
) -> str:
    """SHA-256 of everything that decides what the final test will say, except what the models will answer.

    Neither what code computes a metric nor the order in which rows are asked is part of it: each score carries the
    metric's signature, and no figure depends on the order.
    """
    definition = {
        "dataset": experiment.dataset_version.content_hash,
        "split_seed": experiment.dataset_version.dataset.split_seed,
        "metrics": experiment.metrics,
        "primary_metric": experiment.primary_metric,
        "margin": experiment.margin,
        "alpha": experiment.alpha,
        "bootstrap": [experiment.bootstrap_resamples, experiment.bootstrap_seed],
        "reference": reference.name,
        "family": family,
        "candidates": [
            {
                "name": candidate.name,
                "kind": candidate.kind,
                "model": _model_definition(candidate.language_model),
                "prompt": candidate.prompt_version.content_hash if candidate.prompt_version else None,
                "parameters": candidate.parameters,
            }
            for candidate in contenders
        ],
    }
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


# What decides the weights of a model that is trained here: frozen in its facts when it is planned, and again when it
# is ready, then as it truly was trained.
_TRAINED_FROM = ("spec", "base_revision", "dataset", "prompt")


def _model_definition(model: LanguageModel) -> dict[str, Any]:
    """Which answers the model gives. One that is still to be trained has no revision yet, so its plan stands for it."""
    if model.kind == LanguageModel.Kind.TRAINED:
        return {"name": model.served_name, **{key: model.facts.get(key) for key in _TRAINED_FROM}}
    return {"name": model.served_name, "revision": model.revision}


def experiment_finish(
    *, actor: Any, experiment: Experiment, conclusion_kind: str, conclusion_text: str, report_artifact: str
) -> None:
    """Record what the final test concluded. A finished experiment never changes."""
    with transaction.atomic():
        require(experiment, actor, "edit")
        changed = Experiment.objects.filter(pk=experiment.pk, state=Experiment.State.REGISTERED).update(
            state=Experiment.State.FINISHED,
            finished_at=timezone.now(),
            conclusion_kind=conclusion_kind,
            conclusion_text=conclusion_text,
            report_artifact=report_artifact,
        )
        if changed:
            experiment.refresh_from_db()
            audit.record(actor=actor, verb="experiment.finished", target=experiment, conclusion=conclusion_kind)
            live.publish(experiment, "status")
