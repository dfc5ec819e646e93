"""Creating an experiment, adding candidates, and freezing the definition before the first test score."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core import audit, live
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.experiments.models import Candidate, DatasetVersion, Experiment
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
    previous: Experiment | None = None,
) -> Experiment:
    """A question that is not asked yet: candidates may be added until it is registered.

    `previous`: the version of the same question that this one changes; it stays as it is.
    """
    definition = {
        "name": name,
        "question": question,
        "metrics": metrics,
        "primary_metric": primary_metric,
        "margin": margin,
        "alpha": alpha,
    }
    definition_check(definition)
    for part in filter(None, (dataset_version, previous)):
        if part.owning_team_id != team.pk:
            raise ApplicationError(_("The dataset must belong to the experiment's team."), field="dataset_version")
    with transaction.atomic():
        require(team, actor, "edit")
        require(dataset_version, actor, "view")
        experiment: Experiment = Experiment.objects.create(
            team=team,
            dataset_version=dataset_version,
            answer=dataset_version.answer,
            bootstrap_seed=bootstrap_seed,
            previous=previous,
            version_number=previous.version_number + 1 if previous is not None else 1,
            created_by=actor,
            **definition,
        )
        audit.record(actor=actor, verb="experiment.created", target=experiment, name=name)
    return experiment


def experiment_change(*, actor: Any, experiment: Experiment, **definition: Any) -> Experiment:
    """Change the definition of an experiment that nothing was tested for yet. Conflict once it is registered."""
    definition_check(definition)
    with transaction.atomic():
        require(experiment, actor, "edit")
        experiment = locked(experiment)
        if experiment.state != Experiment.State.DRAFT:
            raise Conflict(_("This experiment is registered. Clone it to change its definition."))
        for field, value in definition.items():
            setattr(experiment, field, value)
        experiment.save(update_fields=list(definition))
        audit.record(actor=actor, verb="experiment.changed", target=experiment, name=experiment.name)
        live.publish(experiment, "status")
    return experiment


def experiment_notes_set(*, actor: Any, experiment: Experiment, notes: str) -> None:
    """Replace the notes of an experiment. They are no part of its definition, so they may change at any time."""
    with transaction.atomic():
        require(experiment, actor, "edit")
        Experiment.objects.filter(pk=experiment.pk).update(notes=notes)
        audit.record(actor=actor, verb="experiment.notes_set", target=experiment, characters=len(notes))
    experiment.notes = notes


def definition_check(definition: Mapping[str, Any]) -> None:
    """ApplicationError with the first thing that no experiment can be defined by."""
    if definition["primary_metric"] not in definition["metrics"]:
        raise ApplicationError(_("The primary metric must be one of the metrics."), field="primary_metric")
    if not definition["margin"] > 0:
        raise ApplicationError(_("The smallest difference that matters must be above zero."), field="margin")
    if not 0 < definition["alpha"] < 1:
        raise ApplicationError(_("The significance level must lie between 0 and 1."), field="alpha")


def experiment_register(*, actor: Any, experiment: Experiment, reference: Candidate) -> Experiment:
    """Write reference, family and the definition's hash, and freeze the candidates. Once, before any test score."""
    with transaction.atomic():
        require(experiment, actor, "edit")
        experiment.refresh_from_db(from_queryset=Experiment.objects.select_for_update())
        contenders = list(experiment.candidates.filter(trial=False).select_related("language_model", "prompt_version"))
        if reference not in contenders:
            raise ApplicationError(_("The reference must be one of the candidates."), field="reference")
        if reference.late:
            raise ApplicationError(
                _("%(name)s was made after results on these test rows had been seen, so it cannot be the reference.")
                % {"name": reference.name},
                field="reference",
            )
        # What was made after the results were seen is shown, but nothing is decided by it.
        decided = [candidate for candidate in contenders if not candidate.late]
        if len(decided) < 2:
            raise ApplicationError(
                _("An experiment compares at least two candidates that were made before results were seen.")
                if len(contenders) >= 2
                else _("An experiment compares at least two candidates.")
            )
        family = [[candidate.name, reference.name] for candidate in decided if candidate != reference]
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


def locked(experiment: Experiment) -> Experiment:
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
        # Labels and tolerance decide what is right. Of JSON nothing does: hashes from before the formats still hold.
        **({"answer": experiment.answer} if experiment.answer.get("format", "json") != "json" else {}),
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
                **({"late": True} if candidate.late else {}),
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
