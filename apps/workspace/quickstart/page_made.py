"""The steps of an experiment that was put together on its page: one for each thing that it waits for."""

from collections.abc import Iterator
from functools import partial

from django.utils.translation import gettext as _

from apps.experiments.models import Candidate, Experiment
from apps.experiments.selectors import contenders
from apps.experiments.services.experiments import experiment_register
from apps.providers.models import LanguageModel, ModelFetch
from apps.training.models import TrainingRun
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.bringing import awaited_fetch
from apps.workspace.quickstart.steps import Step, final_is_done, job_is_done, training_is_done, write_report

_ORDER = {"baseline": 0, "prompted": 1, "commercial": 1, "tuned": 2}


def page_made_steps(run: ExperimentRun) -> tuple[Step, ...]:
    """Freeze, test the free baselines, then the others in order, each after what makes its model or brings it in."""
    assert run.experiment is not None
    return (
        Step("register", _("Freeze the candidates"), register),
        *_tests(run.experiment),
        Step("report", _("Write the report"), write_report),
    )


def register(run: ExperimentRun) -> bool:
    """Write reference, family and hash, once."""
    experiment = run.experiment
    assert experiment is not None
    if experiment.state == Experiment.State.DRAFT:
        reference = experiment.reference or contenders(experiment)[0]
        experiment_register(actor=run.actor, experiment=experiment, reference=reference)
    return True


def _tests(experiment: Experiment) -> Iterator[Step]:
    brought = set()
    for candidate in sorted(contenders(experiment), key=lambda each: (_ORDER[each.kind], each.position)):
        fetch = awaited_fetch(candidate.language_model, since=candidate.created_at)
        if fetch is not None and fetch.pk not in brought:
            brought.add(fetch.pk)
            model = candidate.language_model.name
            yield Step(f"model: {model}", _("Bring in %(name)s") % {"name": model}, partial(_bring, fetch.pk))
        training = _awaited(candidate)
        if training is not None:
            yield Step(
                f"train: {candidate.name}",
                _("Train %(name)s") % {"name": candidate.language_model.name},
                partial(_train, training.pk),
            )
        yield Step(
            f"test: {candidate.name}", _("Test %(name)s") % {"name": candidate.name}, partial(_test, candidate.pk)
        )


def _awaited(candidate: Candidate) -> TrainingRun | None:
    """The training that makes the candidate's model; None for a model that was there when the candidate was added."""
    made = TrainingRun.objects.filter(language_model=candidate.language_model).first()
    model = candidate.language_model
    if made is None:
        return None
    there_before = made.finished_at is not None and made.finished_at < candidate.created_at
    return None if model.state == LanguageModel.State.READY and there_before else made


def _bring(fetch: int, run: ExperimentRun) -> bool:
    return job_is_done(ModelFetch.objects.get(pk=fetch))


def _train(training: int, run: ExperimentRun) -> bool:
    return training_is_done(run, TrainingRun.objects.get(pk=training))


def _test(candidate: int, run: ExperimentRun) -> bool:
    return final_is_done(run, Candidate.objects.select_related("experiment", "language_model").get(pk=candidate))
