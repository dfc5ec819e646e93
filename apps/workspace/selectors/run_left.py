"""How long an experiment run still takes: what is at work by its own pace, what waits by what was measured here."""

from apps.core.models import JobModel, JobStatus
from apps.core.pace import UNKNOWN
from apps.evaluation.models import Evaluation
from apps.experiments.models import Experiment
from apps.experiments.selectors import contenders
from apps.training.models import TrainingRun
from apps.workspace.models import ExperimentRun
from apps.workspace.selectors.estimates import Estimate, Rates, answering_estimate, training_estimate


def run_seconds_left(run: ExperimentRun) -> dict[str, float | None]:
    """A job's fields. Unknown while anything that is still to come was never measured here: a part is no answer."""
    # As it is stored now: a worker keeps the run for a while.
    experiment = Experiment.objects.filter(run=run).select_related("dataset_version").first()
    if experiment is None or experiment.state == Experiment.State.DRAFT:
        return dict(UNKNOWN)
    total = _tests_left(experiment) + _trainings_left(experiment)
    if not total.complete or not total.known:
        return dict(UNKNOWN)
    return {"seconds_left_low": total.seconds_low, "seconds_left_high": total.seconds_high}


def _tests_left(experiment: Experiment) -> Estimate:
    finals = {
        evaluation.candidate_id: evaluation
        for evaluation in experiment.evaluations.filter(purpose=Evaluation.Purpose.FINAL)
    }
    rates, total = Rates(), Estimate()
    for candidate in contenders(experiment):
        evaluation = finals.get(candidate.pk)
        answers = experiment.dataset_version.test_count
        if evaluation is not None:
            if evaluation.status == JobStatus.SUCCEEDED:
                continue
            answers = max(0, len(evaluation.example_ids) * evaluation.repeats - evaluation.done)
        total += _by_its_own_pace(evaluation) or answering_estimate(
            candidate.language_model, answers=answers, rates=rates
        )
    return total


def _trainings_left(experiment: Experiment) -> Estimate:
    models = [candidate.language_model_id for candidate in contenders(experiment)]
    runs = TrainingRun.objects.filter(language_model__in=models).exclude(status=JobStatus.SUCCEEDED)
    related = ("base_model", "dataset_version", "prompt_version")
    return sum(
        (_by_its_own_pace(each) or training_estimate(each) for each in runs.select_related(*related)), Estimate()
    )


def _by_its_own_pace(job: JobModel | None) -> Estimate | None:
    if job is None or job.status != JobStatus.RUNNING or job.seconds_left_low is None or job.seconds_left_high is None:
        return None
    return Estimate(job.seconds_left_low, job.seconds_left_high)
