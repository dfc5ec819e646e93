"""Putting an experiment together on its page, trying it on validation, and running its final test."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.services import budget_create
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.services.evaluations import choice_evaluation_create, evaluation_start
from apps.experiments.models import Candidate, DatasetVersion, Experiment, PromptVersion
from apps.experiments.selectors import contenders
from apps.experiments.services.baselines import NAMES, baseline_model
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.derived_versions import dataset_fresh_test
from apps.experiments.services.experiments import experiment_create
from apps.experiments.services.versions import experiment_clone
from apps.providers.models import LanguageModel
from apps.providers.parameters import accepted_parameters
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.plan import BOOTSTRAP_SEED, ORDER_SEED
from apps.workspace.quickstart.service import experiment_run_start
from apps.workspace.services.chosen_models import models_use

# A look at validation is for choosing: so many rows show a difference worth a final test.
VALIDATION_ROWS = 200
KIND_OF = {
    LanguageModel.Kind.BASELINE: "baseline",
    LanguageModel.Kind.LOCAL: "prompted",
    LanguageModel.Kind.TRAINED: "tuned",
    LanguageModel.Kind.COMMERCIAL: "commercial",
}


def draft_create(
    *,
    actor: Any,
    team: Any,
    dataset_version: DatasetVersion,
    name: str,
    question: str,
    primary_metric: str,
    margin: float,
    alpha: float,
    metrics: Sequence[str] | None = None,
    budget_nanousd: int | None = None,
) -> Experiment:
    """An experiment without candidates; it measures `metrics`, or everything that its answers allow.

    The budget is its own.
    """
    with transaction.atomic():
        experiment = experiment_create(
            actor=actor,
            team=team,
            name=name,
            question=question,
            dataset_version=dataset_version,
            metrics=list(metrics or scoring_for(dataset_version.answer).metrics),
            primary_metric=primary_metric,
            margin=margin,
            alpha=alpha,
            bootstrap_seed=BOOTSTRAP_SEED,
        )
        if budget_nanousd:
            budget_create(actor=actor, team=team, limit_nanousd=budget_nanousd, experiment=experiment)
    return experiment


def candidates_add(
    *,
    actor: Any,
    experiment: Experiment,
    models: Sequence[str],
    prompts: Sequence[PromptVersion],
    baselines: Sequence[str],
    max_tokens: int,
    temperature: float,
) -> list[Candidate]:
    """Every model with every prompt, and the free baselines. What is a candidate already is left as it is.

    `models` as in models_use: one that is not ready is brought in, and the final test waits for it.
    """
    if bool(models) != bool(prompts):
        raise ApplicationError(
            _("Choose at least one prompt for the models.") if models else _("Choose at least one model."),
            field="prompts" if models else "models",
        )
    parameters: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    added = []
    with transaction.atomic():
        for method in baselines:
            model = baseline_model(
                actor=actor, team=experiment.team, dataset_version=experiment.dataset_version, method=method
            )
            added += _add(actor, experiment, NAMES[method], model, None, parameters)
        for model in models_use(actor=actor, team=experiment.team, values=models):
            for prompt in prompts:
                name = _("%(model)s with %(prompt)s") % {"model": model.name, "prompt": prompt}
                added += _add(actor, experiment, name, model, prompt, parameters)
    return added


def _add(
    actor: Any,
    experiment: Experiment,
    name: str,
    model: LanguageModel,
    prompt: PromptVersion | None,
    parameters: dict[str, Any],
) -> list[Candidate]:
    parameters = accepted_parameters(model, parameters)
    same = experiment.candidates.filter(trial=False, language_model=model, prompt_version=prompt)
    if any(each.parameters == parameters or prompt is None for each in same):
        return []
    name = name[:100]
    if experiment.candidates.filter(name=name).exists():
        name = f"{name} ({experiment.candidates.count() + 1})"
    return [
        candidate_add(
            actor=actor,
            experiment=experiment,
            name=name,
            kind=KIND_OF[LanguageModel.Kind(model.kind)],
            language_model=model,
            prompt_version=prompt,
            parameters=parameters,
        )
    ]


def validation_start(*, actor: Any, experiment: Experiment) -> int:
    """Try every candidate whose model is ready on validation, where it was not yet. Returns how many were started."""
    require(experiment, actor, "edit")
    if experiment.state != Experiment.State.DRAFT:
        raise Conflict(_("The candidates are frozen: nothing is chosen any more."))
    if not experiment.dataset_version.validation_count:
        raise Conflict(_("This dataset version has no validation rows."))
    started = 0
    for candidate in contenders(experiment):
        if candidate.language_model.state == LanguageModel.State.READY:
            evaluation = choice_evaluation_create(
                actor=actor, candidate=candidate, order_seed=ORDER_SEED, limit=VALIDATION_ROWS
            )
            started += evaluation_start(actor=actor, evaluation=evaluation)
    return started


def final_test_start(*, actor: Any, experiment: Experiment) -> ExperimentRun:
    """Freeze the candidates and score them on the locked test set, each after the training that it waits for."""
    require(experiment, actor, "edit")
    if experiment.state == Experiment.State.FINISHED:
        raise Conflict(_("The final test of this experiment is over. Clone it to change something."))
    if experiment.state == Experiment.State.DRAFT:
        _check_testable(experiment)
    definition = {"experiment_uid": str(experiment.uid), "experiment": {"order_seed": ORDER_SEED}}
    return experiment_run_start(actor=actor, team=experiment.team, definition=definition, experiment=experiment)


def _check_testable(experiment: Experiment) -> None:
    """What the registration would refuse, said before a job is made of it."""
    candidates = contenders(experiment)
    if len([each for each in candidates if not each.late]) < 2:
        raise Conflict(_("Add at least two candidates, so that there is something to compare."))
    if experiment.reference is None:
        raise Conflict(_("Name the reference: the candidate that all others are compared with."), field="reference")
    if not experiment.dataset_version.test_count:
        raise Conflict(_("This dataset version has no test rows, so there is nothing to test on."))
    failed = [each.name for each in candidates if each.language_model.state == LanguageModel.State.FAILED]
    if failed:
        raise Conflict(
            _("The model of %(names)s could not be made. Retry what makes it, or take the candidate back.")
            % {"names": ", ".join(failed)}
        )


def fresh_test_clone(*, actor: Any, experiment: Experiment) -> Experiment:
    """The next version of the experiment, on a dataset of the same rows whose test rows nobody has seen results of."""
    with transaction.atomic():
        version = dataset_fresh_test(actor=actor, version=experiment.dataset_version)
        return experiment_clone(actor=actor, experiment=experiment, dataset_version=version)
