"""What a page calls a job: its phase, its state, what may be pressed and what that means."""

import pytest

from apps.accounts.models import Team
from apps.core.job_actions import job_part, offered_actions, pressed_text, shown_state
from apps.core.jobs import phase_text
from apps.core.models import JobModel, JobStatus
from apps.core.tests.factories import EvaluationFactory, QuickstartFactory, TrainingRunFactory
from apps.training.selectors import PHASES
from apps.workspace.quickstart.steps import STEPS

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("kind", "phase", "words"),
    [
        ("workspace.ExperimentRun", "few_shot", "Test the few-shot prompt"),
        ("workspace.ExperimentRun", "total", "All together"),
        ("training.TrainingRun", "train", "Train"),
        ("evaluation.Evaluation", "generating", "Generating"),
        ("evaluation.Evaluation", "newer than this page", "newer than this page"),
        ("no.SuchKind", "train", "train"),
    ],
)
def test_a_phase_is_called_what_its_kind_of_job_calls_it(kind: str, phase: str, words: str) -> None:
    assert phase_text(kind, phase) == words


def test_every_step_and_every_phase_of_a_training_has_a_name() -> None:
    named = [phase_text("workspace.ExperimentRun", step.name) for step in STEPS]
    named += [phase_text("training.TrainingRun", name) for name in PHASES]

    assert set(named).isdisjoint({step.name for step in STEPS} | set(PHASES))


def test_a_page_shows_the_phase_in_words(team: Team) -> None:
    run = TrainingRunFactory.create(team=team, status=JobStatus.RUNNING, phase="certify")

    assert job_part(run, role="viewer").phase == "Compare with serving"


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
@pytest.mark.parametrize(
    ("wishes", "shown"), [({"cancel_requested": True}, "cancelling"), ({"pause_requested": True}, "pausing")]
)
def test_a_wish_that_nobody_has_followed_yet_is_shown_as_such(
    team: Team, status: str, wishes: dict[str, bool], shown: str
) -> None:
    job: JobModel = QuickstartFactory.create(team=team, status=status, **wishes)

    assert shown_state(job) == shown
    assert shown != "cancelling" or offered_actions(job) == ()


def test_a_job_that_has_started_others_says_that_they_stop_with_it(team: Team) -> None:
    alone: JobModel = EvaluationFactory.create(candidate__experiment__team=team, status=JobStatus.RUNNING)
    main: JobModel = QuickstartFactory.create(team=team, status=JobStatus.RUNNING)

    questions = [{action: question for action, _, question in offered_actions(job)} for job in (alone, main)]

    assert questions[0]["cancel"] == "The job stops at its next step. What it has finished is kept."
    assert "evaluations and the training" in questions[1]["cancel"]
    assert questions[0]["pause"] == ""
    assert pressed_text(alone, "cancel") == "The job stops at its next step."
    assert pressed_text(main, "cancel") == "The job stops, and what it has started with it."
