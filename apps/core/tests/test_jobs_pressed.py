"""What people press on a job: cancel, pause, resume, and whatever its process does at that moment."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing.tests.processes import start_process
from apps.core import jobs
from apps.core.errors import Conflict, NotAllowed
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests.installation import wait_for
from apps.core.tests.test_jobs import A_MINUTE, claimed, job, sent, stored
from apps.workspace.models import ExperimentRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


def test_cancelling_a_waiting_row_ends_it_at_once(team: Team, alice: User) -> None:
    row = job(team, JobStatus.QUEUED)
    jobs.job_cancel(actor=alice, row=row)
    assert stored(row).status == JobStatus.CANCELLED
    assert stored(row).finished_at is not None
    assert AuditEvent.objects.get().verb == "experimentrun.cancelled"


def test_cancelling_a_running_row_asks_its_process(team: Team, alice: User) -> None:
    row = claimed(team)
    jobs.job_cancel(actor=alice, row=row)
    assert stored(row).status == JobStatus.RUNNING
    assert stored(row).cancel_requested


def test_a_pause_that_became_a_cancel_while_the_job_saved_ends_as_cancelled(team: Team, alice: User) -> None:
    row = claimed(team)
    jobs.job_pause(actor=alice, row=stored(row))
    jobs.job_cancel(actor=alice, row=stored(row))
    assert jobs.finish(row, to=JobStatus.PAUSED)  # by the row as the job read it, before anybody pressed anything
    now = stored(row)
    assert (row.status, now.status) == (JobStatus.CANCELLED, JobStatus.CANCELLED)
    assert now.finished_at is not None


def test_a_cancel_ends_a_row_that_has_paused(team: Team, alice: User) -> None:
    row = claimed(team)
    jobs.job_pause(actor=alice, row=stored(row))
    assert jobs.finish(row, to=JobStatus.PAUSED)
    jobs.job_cancel(actor=alice, row=row)
    assert stored(row).status == JobStatus.CANCELLED
    assert [event.verb for event in AuditEvent.objects.order_by("id")] == [
        "experimentrun.paused",
        "experimentrun.cancelled",
    ]


def pause_when_told(pk: int, go: Path) -> None:
    row = ExperimentRun.objects.get(pk=pk)
    go.with_name("ready").touch()
    while not go.exists():
        time.sleep(0.01)
    jobs.finish(row, to=JobStatus.PAUSED)


def test_a_cancel_that_is_being_committed_while_the_job_pauses_is_not_lost(team: Team, tmp_path: Path) -> None:
    row = claimed(team)
    process = start_process(pause_when_told, row.pk, tmp_path / "go")
    wait_for((tmp_path / "ready").exists, what="the job to have read its row")
    with transaction.atomic():
        # As job_cancel has it between its look at the running row and its commit.
        ExperimentRun.objects.select_for_update().get(pk=row.pk)
        ExperimentRun.objects.filter(pk=row.pk).update(cancel_requested=True)
        (tmp_path / "go").touch()
        process.join(1)
        assert process.is_alive()  # it waits for the row
    process.join(30)
    assert process.exitcode == 0
    assert stored(row).status == JobStatus.CANCELLED


def test_a_process_that_lost_its_claim_cancels_nothing_by_pausing(team: Team) -> None:
    old = claimed(team, heartbeat_at=timezone.now() - A_MINUTE)
    assert jobs.reap() == 1
    assert jobs.claim(ExperimentRun, old.pk) is not None
    ExperimentRun.objects.filter(pk=old.pk).update(cancel_requested=True)
    assert not jobs.finish(old, to=JobStatus.PAUSED)
    assert stored(old).status == JobStatus.RUNNING


def test_a_row_that_ended_meanwhile_is_not_cancelled_and_nobody_is_said_to_have_done_it(
    team: Team, alice: User
) -> None:
    row = job(team, JobStatus.QUEUED)
    ExperimentRun.objects.filter(pk=row.pk).update(status=JobStatus.SUCCEEDED)
    with pytest.raises(Conflict):
        jobs.job_cancel(actor=alice, row=row)
    assert not stored(row).cancel_requested
    assert AuditEvent.objects.count() == 0


def test_a_paused_row_is_really_queued_and_sent_when_it_is_resumed(team: Team, alice: User) -> None:
    row = job(team, JobStatus.QUEUED)
    jobs.job_pause(actor=alice, row=row)
    assert stored(row).status == JobStatus.PAUSED
    assert jobs.claim(ExperimentRun, row.pk) is None
    jobs.job_resume(actor=alice, row=row)
    now = stored(row)
    assert (now.status, now.pause_requested, now.cancel_requested) == (JobStatus.QUEUED, False, False)
    assert sent() == 1
    assert jobs.claim(ExperimentRun, row.pk) is not None


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.PAUSED])
def test_a_resumed_row_begins_with_no_attempts_and_no_wishes(team: Team, alice: User, status: str) -> None:
    row = job(team, status, attempt=5, cancel_requested=True, pause_requested=True)
    jobs.job_resume(actor=alice, row=row)
    now = stored(row)
    assert (now.status, now.attempt, now.cancel_requested, now.pause_requested) == (JobStatus.QUEUED, 0, False, False)


def test_a_second_press_of_resume_takes_nothing_from_the_process_that_works_already(team: Team, alice: User) -> None:
    row = job(team, JobStatus.PAUSED)
    second = stored(row)  # another page read it at the same time
    jobs.job_resume(actor=alice, row=row)
    working = jobs.claim(ExperimentRun, row.pk)
    assert working is not None
    with pytest.raises(Conflict):
        jobs.job_resume(actor=alice, row=second)
    assert stored(row).attempt == working.attempt == 1
    assert jobs.heartbeat(working)
    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize("press", [jobs.job_cancel, jobs.job_pause, jobs.job_resume])
def test_a_viewer_and_a_stranger_may_press_nothing(team: Team, vera: User, charlie: User, press: Any) -> None:
    row = job(team, JobStatus.PAUSED if press is jobs.job_resume else JobStatus.QUEUED)
    for person in (vera, charlie):
        with pytest.raises(NotAllowed):
            press(actor=person, row=row)
    assert stored(row).status == row.status
    assert AuditEvent.objects.count() == 0
