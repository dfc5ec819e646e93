"""Cancel, pause and retry on the main job, pressed on its page: what it has started does the same."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.models import AuditEvent, JobModel, JobStatus
from apps.evaluation.models import Evaluation
from apps.evaluation.tasks import evaluation_slice
from apps.training.models import TrainingRun
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart import making, service, steps
from apps.workspace.quickstart.progress import progress_of
from apps.workspace.quickstart.service import experiment_run_start
from apps.workspace.tasks import experiment_run_advance
from apps.workspace.tests.test_quickstart import Spy, definition, demo, spy, walk

__all__ = ["definition", "demo", "spy"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def quickstart(definition: dict[str, Any], demo: tuple[Team, User], client: Client, spy: Spy) -> ExperimentRun:
    """The main job of the signed-in owner, which waits for the first trial on validation."""
    team, user = demo
    client.force_login(user)
    started = experiment_run_start(actor=user, team=team, definition=definition)
    for _ in range(50):
        if Evaluation.objects.filter(status=JobStatus.QUEUED).exists():
            return stored(started)
        advanced(started)
    raise AssertionError("no trial was started")


def advanced(quickstart: ExperimentRun) -> ExperimentRun:
    """After one more slice of its worker."""
    experiment_run_advance(quickstart.pk)
    return stored(quickstart)


def stored(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


def press(client: Client, action: str, row: JobModel) -> str:
    """Send the button's form; what the page says to it."""
    team = row.team if isinstance(row, ExperimentRun | TrainingRun) else row.experiment.team  # type: ignore[attr-defined]
    answer = client.post(reverse(f"job_{action}", args=[team.slug, row._meta.model_name, row.uid]), follow=True)
    assert answer.status_code == 200
    (message,) = answer.context["messages"]
    return str(message)


def working(model: type[Any]) -> Any:
    """The one waiting job of a kind, taken by a worker."""
    row = jobs.claim(model, model.objects.get(status=JobStatus.QUEUED).pk)
    assert row is not None
    return row


def in_training(quickstart: ExperimentRun) -> TrainingRun:
    """Everything before it is done, and a host has taken the training run."""
    for _ in range(200):
        if TrainingRun.objects.filter(status=JobStatus.QUEUED).exists():
            run: TrainingRun = working(TrainingRun)
            return run
        experiment_run_advance(quickstart.pk)
        for evaluation in Evaluation.objects.filter(status=JobStatus.QUEUED):
            evaluation_slice(evaluation.pk)
    raise AssertionError("the training was not started")


def progress_page(client: Client, quickstart: ExperimentRun, part: str, **headers: str) -> str:
    address = reverse("quickstart_progress", args=[quickstart.team.slug, quickstart.experiment.uid])  # type: ignore[union-attr]
    answer = client.get(f"{address}?part={part}", HTTP_HX_REQUEST="true", **headers)  # type: ignore[arg-type]
    return str(answer.content.decode())


def test_retry_goes_on_after_a_job_that_it_waited_for_was_cancelled(
    quickstart: ExperimentRun, client: Client, spy: Spy, tmp_path: Path
) -> None:
    press(client, "cancel", Evaluation.objects.get(status=JobStatus.QUEUED))
    failed = advanced(quickstart)
    assert failed.status == JobStatus.FAILED
    assert failed.error.endswith("was cancelled.")

    assert press(client, "resume", failed) == "The job goes on, and what it had started with it."

    assert stored(quickstart).status == JobStatus.QUEUED
    assert Evaluation.objects.get().status == JobStatus.QUEUED
    assert walk(quickstart, tmp_path, spy).status == JobStatus.SUCCEEDED


@pytest.mark.slow
def test_retry_goes_on_after_the_training_failed(
    quickstart: ExperimentRun, client: Client, spy: Spy, tmp_path: Path
) -> None:
    run = in_training(quickstart)
    jobs.fail(run, error="The training process ended.", kept="", next_step="")
    failed = advanced(quickstart)
    assert (failed.status, failed.error) == (JobStatus.FAILED, "The training process ended.")

    press(client, "resume", failed)

    assert stored(run).status == JobStatus.QUEUED
    assert walk(quickstart, tmp_path, spy).status == JobStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("action", "wish", "end", "shown"),
    [("cancel", "cancel_requested", "cancelled", "Cancelling"), ("pause", "pause_requested", "paused", "Pausing")],
)
def test_it_ends_after_the_training_that_it_has_started(
    quickstart: ExperimentRun, client: Client, spy: Spy, tmp_path: Path, action: str, wish: str, end: str, shown: str
) -> None:
    run = in_training(quickstart)

    said = press(client, action, stored(quickstart))

    assert said.endswith("and what it has started with it.")
    assert (stored(run).status, getattr(stored(run), wish)) == (JobStatus.RUNNING, True)
    assert advanced(quickstart).status == JobStatus.QUEUED  # it waits, in slices
    page = progress_page(client, quickstart, "job")
    assert shown in page
    assert "Retry job" not in page

    jobs.finish(run, to=JobStatus(end))  # as its host does once the engine has saved
    assert advanced(quickstart).status == end
    assert not Evaluation.objects.filter(status__in=jobs.AT_WORK).exists()
    assert [step.state for step in progress_of(stored(quickstart)) if step.name == "train"] == [end]

    press(client, "resume", stored(quickstart))
    assert stored(run).status == JobStatus.QUEUED
    assert walk(quickstart, tmp_path, spy).status == JobStatus.SUCCEEDED


def test_cancel_stops_a_running_evaluation_and_keeps_what_it_has_stored(
    quickstart: ExperimentRun, client: Client, spy: Spy, tmp_path: Path
) -> None:
    evaluation = working(Evaluation)

    press(client, "cancel", quickstart)

    assert stored(evaluation).cancel_requested
    jobs.finish(evaluation, to=JobStatus.CANCELLED)
    assert advanced(quickstart).status == JobStatus.CANCELLED
    assert "This job was cancelled. Every finished step is kept." in progress_page(client, quickstart, "job")
    pressed = AuditEvent.objects.filter(verb__endswith=".cancelled").order_by("id")
    assert [(event.verb, event.actor) for event in pressed] == [
        ("experimentrun.cancelled", quickstart.actor),
        ("evaluation.cancelled", quickstart.actor),
    ]


def test_a_waiting_evaluation_is_cancelled_at_once_and_so_is_the_main_job(
    quickstart: ExperimentRun, client: Client
) -> None:
    press(client, "cancel", quickstart)

    assert stored(quickstart).status == JobStatus.CANCELLED
    assert Evaluation.objects.get().status == JobStatus.CANCELLED


def test_what_it_starts_while_somebody_cancels_is_cancelled_too(quickstart: ExperimentRun, client: Client) -> None:
    evaluation = working(Evaluation)
    # As a cancel that was committed before this evaluation was started.
    ExperimentRun.objects.filter(pk=quickstart.pk).update(cancel_requested=True)

    assert advanced(quickstart).status == JobStatus.QUEUED
    assert stored(evaluation).cancel_requested


def test_a_step_that_meets_a_job_stopped_with_it_does_not_call_itself_failed(
    quickstart: ExperimentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled_meanwhile(row: ExperimentRun) -> bool:
        jobs.job_cancel(actor=None, row=stored(row))
        raise making.StepFailed("It was cancelled.")

    step = steps.Step("import", "Import", cancelled_meanwhile)
    monkeypatch.setattr(service, "steps_of", lambda _run: (step,))
    ExperimentRun.objects.filter(pk=quickstart.pk).update(facts={})

    advanced(quickstart)

    assert advanced(quickstart).status == JobStatus.CANCELLED


def test_retry_waits_until_what_was_stopped_has_stopped(quickstart: ExperimentRun, client: Client) -> None:
    evaluation = working(Evaluation)
    jobs.job_cancel(actor=None, row=evaluation)
    ExperimentRun.objects.filter(pk=quickstart.pk).update(status=JobStatus.CANCELLED, cancel_requested=True)

    assert press(client, "resume", stored(quickstart)).endswith("is still stopping. Try again in a moment.")

    assert stored(quickstart).status == JobStatus.CANCELLED
    assert not AuditEvent.objects.filter(verb="experimentrun.resumed").exists()


def test_a_button_of_a_part_leads_back_to_the_page_that_shows_the_part(
    quickstart: ExperimentRun, client: Client
) -> None:
    experiment = reverse("experiment", args=[quickstart.team.slug, quickstart.experiment.uid])  # type: ignore[union-attr]

    part = progress_page(client, quickstart, "job", HTTP_HX_CURRENT_URL=f"http://testserver{experiment}")

    assert f'name="next" value="{experiment}"' in part
    assert "stop with it" in part
    answer = client.post(
        reverse("job_cancel", args=[quickstart.team.slug, "experimentrun", quickstart.uid]), {"next": experiment}
    )
    assert answer.headers["Location"] == experiment


def test_a_failed_import_is_told_on_the_home_page_with_what_to_press(
    definition: dict[str, Any], demo: tuple[Team, User], client: Client, spy: Spy, tmp_path: Path
) -> None:
    team, user = demo
    client.force_login(user)
    (tmp_path / "assets" / "made-up.xml").unlink()
    quickstart = experiment_run_start(actor=user, team=team, definition=definition)
    with pytest.raises(FileNotFoundError):
        experiment_run_advance(quickstart.pk)
    assert stored(quickstart).experiment is None

    home = client.get(reverse("home", args=[team.slug])).content.decode()

    assert "FileNotFoundError" in home
    assert "Press Retry job" in home
    assert reverse("job_resume", args=[team.slug, "experimentrun", quickstart.uid]) in home
