"""Candidates of an experiment: adding, removing, naming the reference, and which ones come too late to decide."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import audit, live
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.experiments import rows
from apps.experiments.engine.prompts import known_variables, variables_of
from apps.experiments.models import Candidate, DatasetVersion, Experiment, PromptVersion
from apps.experiments.selectors import prompt_spec
from apps.experiments.services.experiments import locked
from apps.providers.availability import choosable
from apps.providers.parameters import accepted_parameters


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
        experiment = locked(experiment)
        if not trial and experiment.state != Experiment.State.DRAFT:
            raise Conflict(_("This experiment is registered: its candidates are frozen."))
        for part in filter(None, (language_model, prompt_version)):
            if part.owning_team_id != experiment.team_id:
                raise ApplicationError(_("Model and prompt must belong to the experiment's team."), field="model")
        choosable(language_model)
        parameters = accepted_parameters(language_model, parameters)
        _check_demonstrations(experiment.dataset_version, prompt_version)
        _check_variables(experiment.dataset_version, prompt_version)
        if experiment.candidates.filter(name=name).exists():
            raise Conflict(_("This experiment has a candidate called %(name)s already.") % {"name": name})
        candidate: Candidate = Candidate.objects.create(
            experiment=experiment,
            late=not trial and _is_late(experiment, language_model, prompt_version, parameters),
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


def _check_variables(dataset_version: DatasetVersion, prompt_version: PromptVersion | None) -> None:
    """A prompt that names a column which the rows do not have would fail for every row."""
    if prompt_version is None:
        return
    unknown = variables_of(prompt_spec(prompt_version)) - set(known_variables(dataset_version.columns))
    if unknown:
        raise ApplicationError(
            _("%(prompt)s uses %(names)s, which %(version)s does not have.")
            % {"prompt": prompt_version, "names": ", ".join(sorted(unknown)), "version": dataset_version},
            code="prompt_variables",
            field="prompts",
        )


def candidate_remove(*, actor: Any, candidate: Candidate) -> None:
    """Take back a candidate that nothing was run for. Conflict once it is frozen or has been tried."""
    with transaction.atomic():
        require(candidate, actor, "edit")
        experiment = locked(candidate.experiment)
        if experiment.state != Experiment.State.DRAFT:
            raise Conflict(_("This experiment is registered: its candidates are frozen."))
        if candidate.evaluations.exists():
            raise Conflict(
                _("%(name)s was tried on validation, which stays on record. Leave it out by cloning the experiment.")
                % {"name": candidate.name}
            )
        if experiment.reference_id == candidate.pk:
            Experiment.objects.filter(pk=experiment.pk).update(reference=None)
        audit.record(actor=actor, verb="candidate.removed", target=candidate, name=candidate.name)
        candidate.delete()
        live.publish(experiment, "candidates")


def experiment_reference_set(*, actor: Any, experiment: Experiment, reference: Candidate) -> None:
    """Name the candidate that all others are compared with. Until the registration it may be another."""
    with transaction.atomic():
        require(experiment, actor, "edit")
        experiment = locked(experiment)
        if experiment.state != Experiment.State.DRAFT:
            raise Conflict(_("This experiment is registered: its reference is frozen."))
        if reference.experiment_id != experiment.pk or reference.trial:
            raise ApplicationError(_("The reference must be one of the candidates."), field="reference")
        Experiment.objects.filter(pk=experiment.pk).update(reference=reference)
        audit.record(actor=actor, verb="experiment.reference_set", target=experiment, name=reference.name)
        live.publish(experiment, "candidates")


def _tested_before(experiment: Experiment) -> Iterator[Experiment]:
    """Earlier versions of the question whose final test began on test rows of the same dataset, newest first."""
    dataset, before = experiment.dataset_version.dataset_id, experiment.previous
    while before is not None:
        if before.registered_at is not None and before.dataset_version.dataset_id == dataset:
            yield before
        before = before.previous


def _is_late(
    experiment: Experiment, model: Any, prompt_version: PromptVersion | None, parameters: dict[str, Any]
) -> bool:
    """Whether results on these test rows could be seen before this candidate was made: then it was made by them.

    A candidate that an earlier version tested, word for word, was there before; one that was late then is late now.
    """
    earlier = list(_tested_before(experiment))
    same = Candidate.objects.filter(
        experiment__in=earlier, language_model=model, prompt_version=prompt_version, trial=False, late=False
    )
    return bool(earlier) and not any(candidate.parameters == parameters for candidate in same)
