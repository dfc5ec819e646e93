"""A job row is worked on by one process at a time, and none is lost or revived, whatever dies when."""

import datetime
import itertools
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import Team
from apps.billing.tests.processes import start_process
from apps.core import jobs
from apps.core.errors import Conflict
from apps.core.models import JobStatus, LiveEvent
from apps.core.tests.factories import QuickstartFactory, TrainingRunFactory
from apps.workspace.models import ExperimentRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

STATES = list(JobStatus.values)
A_MINUTE = datetime.timedelta(minutes=1)


def job(team: Team, status: str = JobStatus.PLANNED, **fields: Any) -> ExperimentRun:
    row: ExperimentRun = QuickstartFactory.create(team=team, status=status, **fields)
    return row


def stored(row: ExperimentRun) -> ExperimentRun:
    return ExperimentRun.objects.get(pk=row.pk)


def sent() -> int:
    """Messages that wait in the queue."""
    return OrmQ.objects.count()


def claimed(team: Team, **fields: Any) -> ExperimentRun:
    row = job(team, JobStatus.QUEUED, queued_at=timezone.now())
    taken = jobs.claim(ExperimentRun, row.pk)
    assert taken is not None
    if fields:
        ExperimentRun.objects.filter(pk=row.pk).update(**fields)
    return stored(row)


# --- transitions


def test_a_status_changes_only_as_the_table_says(team: Team) -> None:
    row = job(team)
    for start, to in itertools.product(STATES, STATES):
        ExperimentRun.objects.filter(pk=row.pk).update(status=start)
        LiveEvent.objects.all().delete()
        changed = jobs.transition(row, to=to)
        assert changed == (to in jobs.TRANSITIONS[start]), (start, to)
        assert stored(row).status == (to if changed else start)
        assert LiveEvent.objects.filter(part="status").count() == changed


def test_what_has_succeeded_never_changes() -> None:
    assert jobs.TRANSITIONS[JobStatus.SUCCEEDED] == frozenset()
    assert set(jobs.TRANSITIONS) == set(STATES)


def test_a_change_decides_by_the_stored_row_not_by_the_one_that_was_read(team: Team) -> None:
    row = job(team, JobStatus.QUEUED)
    ExperimentRun.objects.filter(pk=row.pk).update(status=JobStatus.SUCCEEDED)
    assert not jobs.transition(row, to=JobStatus.CANCELLED)
    assert stored(row).status == JobStatus.SUCCEEDED


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["claim", "hand_on", "finish", "fail", "cancel", "pause", "resume", "reap"])))
def test_no_order_of_events_leaves_the_table_or_gives_two_processes_one_row(team: Team, steps: list[str]) -> None:
    row = job(team)
    jobs.enqueue(row)
    holders: list[ExperimentRun] = []
    before = JobStatus.QUEUED
    for step in steps:
        _do(step, row, holders)
        now = stored(row).status
        assert now == before or now in _reachable(before), (step, before, now)
        living = [holder for holder in holders if jobs.heartbeat(holder)]
        assert len(living) == (now == JobStatus.RUNNING)
        before = JobStatus(now)


def _reachable(status: str) -> set[str]:
    """A cancel of a paused row or a resume is one step, a reaped row may be queued again: at most two steps."""
    one = jobs.TRANSITIONS[status]
    return set(one) | {further for first in one for further in jobs.TRANSITIONS[first]}


def _do(step: str, row: ExperimentRun, holders: list[ExperimentRun]) -> None:
    if step == "claim":
        taken = jobs.claim(ExperimentRun, row.pk)
        if taken is not None:
            holders.append(taken)
    elif step in {"hand_on", "finish", "fail"}:
        work: dict[str, Callable[[ExperimentRun], object]] = {
            "hand_on": jobs.hand_on,
            "finish": jobs.finish,
            "fail": lambda holder: jobs.fail(holder, error="e", kept="k", next_step="n"),
        }
        for holder in holders:  # those that lost their claim try as well
            work[step](holder)
    elif step == "reap":
        ExperimentRun.objects.filter(pk=row.pk).update(heartbeat_at=timezone.now() - A_MINUTE)
        jobs.reap()
    else:
        press = {"cancel": jobs.job_cancel, "pause": jobs.job_pause, "resume": jobs.job_resume}[step]
        try:
            press(actor=None, row=row)
        except Conflict:
            return


# --- claim, heartbeat, hand on


def claim_here(pk: int, folder: str) -> None:
    taken = jobs.claim(ExperimentRun, pk)
    with open(f"{folder}/{os.getpid()}", "w") as file:
        file.write("won" if taken else "lost")


def test_of_processes_that_claim_at_once_one_wins(team: Team, tmp_path: Any) -> None:
    row = job(team, JobStatus.QUEUED)
    processes = [start_process(claim_here, row.pk, str(tmp_path)) for _ in range(4)]
    for process in processes:
        process.join(30)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["lost", "lost", "lost", "won"]
    assert stored(row).attempt == 1


def test_a_redelivered_message_finds_nothing_to_claim(team: Team) -> None:
    row = claimed(team)
    assert jobs.claim(ExperimentRun, row.pk) is None
    assert stored(row).attempt == 1
    assert stored(row).claim == row.claim


def test_a_claim_notes_when_work_began_first(team: Team) -> None:
    row = claimed(team)
    first = row.started_at
    assert first is not None
    jobs.hand_on(row)
    again = jobs.claim(ExperimentRun, row.pk)
    assert again is not None
    assert again.started_at == first


@pytest.mark.parametrize("status", [state for state in STATES if state != JobStatus.QUEUED])
def test_only_a_waiting_row_can_be_claimed(team: Team, status: str) -> None:
    assert jobs.claim(ExperimentRun, job(team, status).pk) is None


def test_a_heartbeat_brings_progress_while_the_claim_holds(team: Team) -> None:
    row = claimed(team, heartbeat_at=timezone.now() - A_MINUTE)
    assert jobs.heartbeat(row, done=3, total=9, phase="reading")
    now = stored(row)
    assert (now.done, now.total, now.phase) == (3, 9, "reading")
    assert now.heartbeat_at is not None
    assert timezone.now() - now.heartbeat_at < A_MINUTE / 2


def test_a_process_that_lost_its_claim_changes_nothing_any_more(team: Team) -> None:
    old = claimed(team, heartbeat_at=timezone.now() - A_MINUTE)
    assert jobs.reap() == 1
    new = jobs.claim(ExperimentRun, old.pk)
    assert new is not None
    before = stored(old)
    assert not jobs.heartbeat(old, done=7)
    assert not jobs.hand_on(old)
    assert not jobs.finish(old)
    assert not jobs.fail(old, error="x", kept="y", next_step="z")
    after = stored(old)
    assert (after.status, after.claim, after.done, after.error) == (before.status, new.claim, before.done, "")


@pytest.mark.parametrize("end", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.PAUSED])
def test_a_process_that_comes_back_to_life_does_not_revive_an_ended_row(team: Team, end: str) -> None:
    row = claimed(team)
    ExperimentRun.objects.filter(pk=row.pk).update(status=end)  # as the reaper or a person ends it: the claim stays
    assert not jobs.hand_on(row)
    assert not jobs.give_back(row)
    assert stored(row).status == end
    assert sent() == 0


def test_handing_on_queues_the_rest_and_is_no_failed_attempt(team: Team) -> None:
    row = claimed(team, attempt=3)
    assert jobs.hand_on(row)
    now = stored(row)
    assert (now.status, now.claim, now.attempt) == (JobStatus.QUEUED, "", 0)
    assert sent() == 1


def test_a_slice_that_got_nowhere_stays_counted(team: Team) -> None:
    row = claimed(team, attempt=3)
    jobs.hand_on(row, progressed=False)
    assert stored(row).attempt == 3


# --- enqueue


def test_the_id_travels_when_the_transaction_commits_and_not_before(team: Team) -> None:
    row = job(team)
    with transaction.atomic():
        assert jobs.enqueue(row)
        assert sent() == 0
    assert sent() == 1


def test_nothing_travels_when_the_transaction_is_rolled_back(team: Team) -> None:
    row = job(team)
    with transaction.atomic():
        jobs.enqueue(row)
        transaction.set_rollback(True)
    assert sent() == 0
    assert stored(row).status == JobStatus.PLANNED


def test_a_row_that_waits_already_is_not_sent_twice(team: Team) -> None:
    row = job(team)
    assert jobs.enqueue(row)
    assert not jobs.enqueue(row)
    assert sent() == 1


def test_queueing_again_forgets_the_error_of_last_time(team: Team) -> None:
    row = job(team, JobStatus.FAILED, error="e", error_kept="k", error_next="n", finished_at=timezone.now())
    assert jobs.enqueue(row)
    now = stored(row)
    assert (now.error, now.error_kept, now.error_next, now.finished_at) == ("", "", "", None)


# --- the reaper


def test_a_row_whose_process_died_goes_on_with_another(team: Team) -> None:
    row = claimed(team, heartbeat_at=timezone.now() - A_MINUTE)
    assert jobs.reap() == 1
    assert stored(row).status == JobStatus.QUEUED
    assert sent() == 1
    again = jobs.claim(ExperimentRun, row.pk)
    assert again is not None
    assert again.attempt == 2


def test_a_row_that_is_heard_is_left_alone(team: Team) -> None:
    row = claimed(team)
    assert jobs.reap() == 0
    assert stored(row).claim == row.claim


def test_a_heartbeat_between_the_reapers_look_and_its_step_saves_the_row(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = claimed(team, heartbeat_at=timezone.now() - A_MINUTE)
    monkeypatch.setattr(jobs.log, "warning", lambda *_args, **_more: jobs.heartbeat(row))
    assert jobs.reap() == 0
    assert stored(row).status == JobStatus.RUNNING


def test_a_row_fails_when_too_many_processes_died_of_it(team: Team) -> None:
    most = jobs.kind_of(job(team)).max_attempts
    row = claimed(team, heartbeat_at=timezone.now() - A_MINUTE, attempt=most)
    assert jobs.reap() == 1
    now = stored(row)
    assert now.status == JobStatus.FAILED
    assert f"{most} times" in now.error
    assert now.error_kept
    assert now.error_next
    assert sent() == 0


def test_attempts_are_counted_until_the_row_fails(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    row = job(team)
    jobs.enqueue(row)
    attempts = 0
    while stored(row).status != JobStatus.FAILED:
        assert jobs.claim(ExperimentRun, row.pk) is not None
        attempts += 1
        ExperimentRun.objects.filter(pk=row.pk).update(heartbeat_at=timezone.now() - A_MINUTE)
        jobs.reap()
        assert attempts <= 1000
    assert attempts == jobs.kind_of(row).max_attempts


def test_a_row_whose_message_was_lost_is_sent_again_and_not_before_its_time(team: Team) -> None:
    row = job(team, JobStatus.QUEUED, queued_at=timezone.now() - datetime.timedelta(seconds=20))
    assert jobs.reap() == 0
    ExperimentRun.objects.filter(pk=row.pk).update(queued_at=timezone.now() - datetime.timedelta(seconds=40))
    assert jobs.reap() == 1
    assert sent() == 1
    assert jobs.reap() == 0


def test_a_row_waits_while_its_old_process_is_still_there(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    old_is_there = True
    kind = jobs.JobKind("training.TrainingRun", "nowhere", max_attempts=2, may_resume=lambda _row: not old_is_there)
    monkeypatch.setitem(jobs._KINDS, "training.trainingrun", kind)
    run = TrainingRunFactory.create(
        team=team, status=JobStatus.RUNNING, claim="c", heartbeat_at=timezone.now() - A_MINUTE, attempt=1
    )
    assert jobs.reap() == 0
    old_is_there = False
    assert jobs.reap() == 1
    run.refresh_from_db()
    assert run.status == JobStatus.QUEUED


def test_every_kind_of_job_names_a_task_that_exists() -> None:
    from django.utils.module_loading import import_string

    assert len(jobs.kinds()) >= 3
    for kind in jobs.kinds():
        assert callable(import_string(kind.task)), kind
        assert kind.model_class._meta.label_lower == kind.model.lower()


def test_the_tests_run_on_the_database_that_was_asked_for() -> None:
    wanted = "postgresql" if os.environ.get("DATABASE_URL") else "sqlite"
    assert connection.vendor == wanted
