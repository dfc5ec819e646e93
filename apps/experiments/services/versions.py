"""A changed experiment is a new version of it: a draft that begins with what the one before had."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.access import require
from apps.core.errors import ApplicationError
from apps.experiments.models import Candidate, DatasetVersion, Experiment
from apps.experiments.selectors import contenders
from apps.experiments.services.baselines import baseline_model
from apps.experiments.services.candidates import candidate_add, experiment_reference_set
from apps.experiments.services.experiments import experiment_create
from apps.providers.engine.baselines import baselines_for


def experiment_clone(
    *, actor: Any, experiment: Experiment, dataset_version: DatasetVersion | None = None
) -> Experiment:
    """A draft of the next version, with the same definition and candidates, on the same rows or on `dataset_version`.

    Free baselines are fitted anew where the rows are others. ApplicationError if answers are of another kind there.
    """
    require(experiment, actor, "edit")
    version = dataset_version or experiment.dataset_version
    if version.answer.get("format") != experiment.answer.get("format"):
        raise ApplicationError(
            _("Answers of %(version)s are of another kind, so the metrics do not fit.") % {"version": version},
            field="dataset_version",
        )
    with transaction.atomic():
        clone = experiment_create(
            actor=actor,
            team=experiment.team,
            name=experiment.name,
            question=experiment.question,
            dataset_version=version,
            metrics=experiment.metrics,
            primary_metric=experiment.primary_metric,
            margin=experiment.margin,
            alpha=experiment.alpha,
            bootstrap_seed=experiment.bootstrap_seed,
            previous=experiment,
        )
        for candidate in contenders(experiment):
            copy = _copy(actor, candidate, clone)
            if copy is not None and candidate.pk == experiment.reference_id and not copy.late:
                experiment_reference_set(actor=actor, experiment=clone, reference=copy)
    clone.refresh_from_db()
    return clone


def _copy(actor: Any, candidate: Candidate, clone: Experiment) -> Candidate | None:
    """The same candidate in the clone; None for a baseline that does not fit the clone's answers."""
    model = candidate.language_model
    if candidate.kind == "baseline":
        method = model.facts["method"]
        if method not in baselines_for(clone.answer):
            return None
        model = baseline_model(actor=actor, team=clone.team, dataset_version=clone.dataset_version, method=method)
    return candidate_add(
        actor=actor,
        experiment=clone,
        name=candidate.name,
        kind=candidate.kind,
        language_model=model,
        prompt_version=candidate.prompt_version,
        parameters=candidate.parameters,
    )
