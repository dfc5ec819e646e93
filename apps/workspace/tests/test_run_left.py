"""How long an experiment run still takes: nothing is said before all of it can be."""

import pytest

from apps.accounts.models import Team, User
from apps.core.models import JobStatus
from apps.core.pace import UNKNOWN
from apps.core.tests import factories
from apps.evaluation.models import Evaluation
from apps.evaluation.services.evaluations import final_evaluation_create
from apps.evaluation.tests.worlds import registered
from apps.experiments.models import Experiment
from apps.providers.models import LanguageModel
from apps.workspace.models import ExperimentRun
from apps.workspace.selectors.run_left import run_seconds_left

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(team: Team, alice: User) -> ExperimentRun:
    experiment = registered(team, alice, ["Plain", "Few-shot"], reference="Plain")
    for candidate in experiment.candidates.all():  # each of weights of its own: what one takes says nothing of another
        LanguageModel.objects.filter(pk=candidate.language_model_id).update(revision=candidate.name)
    made: ExperimentRun = ExperimentRun.objects.create(
        team=team, actor=alice, definition={}, definition_hash="a", experiment=experiment
    )
    return made


def final(run: ExperimentRun, name: str, **fields: object) -> Evaluation:
    assert run.experiment is not None
    candidate = run.experiment.candidates.get(name=name)
    made = final_evaluation_create(actor=run.actor, candidate=candidate, order_seed=1)
    Evaluation.objects.filter(pk=made.pk).update(**fields)
    made.refresh_from_db()
    return made


def measured(run: ExperimentRun, name: str) -> None:
    """Ten answers of this candidate's model took twenty seconds, in another experiment."""
    assert run.experiment is not None
    model = run.experiment.candidates.get(name=name).language_model
    other = factories.CandidateFactory.create(experiment__team=run.team, language_model=model)
    factories.EvaluationFactory.create(
        candidate=other, experiment=other.experiment, status=JobStatus.SUCCEEDED, total=10, work_seconds=20.0
    )


def test_it_is_unknown_until_every_part_was_measured(run: ExperimentRun) -> None:
    factories.PriceFactory.create()
    assert run_seconds_left(run) == UNKNOWN
    measured(run, "Plain")
    assert run_seconds_left(run) == UNKNOWN


def test_what_runs_counts_by_its_own_pace_and_what_waits_by_what_was_measured(run: ExperimentRun) -> None:
    measured(run, "Few-shot")
    assert run.experiment is not None
    n = run.experiment.dataset_version.test_count
    running = final(run, "Plain", status=JobStatus.RUNNING, seconds_left_low=30.0, seconds_left_high=50.0)

    left = run_seconds_left(run)

    assert left["seconds_left_low"] == pytest.approx(30 + 0.7 * 2 * n)
    assert left["seconds_left_high"] == pytest.approx(50 + 1.6 * 2 * n)
    Evaluation.objects.filter(pk=running.pk).update(status=JobStatus.SUCCEEDED)
    half = final(run, "Few-shot", status=JobStatus.QUEUED, done=n // 2)
    assert run_seconds_left(run)["seconds_left_low"] == pytest.approx(0.7 * 2 * (n - n // 2))
    Evaluation.objects.filter(pk=half.pk).update(status=JobStatus.SUCCEEDED)
    assert run_seconds_left(run) == UNKNOWN


def test_a_draft_has_no_time_left(run: ExperimentRun) -> None:
    Experiment.objects.filter(pk=run.experiment_id).update(state=Experiment.State.DRAFT)
    assert run_seconds_left(run) == UNKNOWN
