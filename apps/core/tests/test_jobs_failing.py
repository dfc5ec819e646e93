"""A row that cannot be recovered holds up no other, and a status is not changed without telling open pages."""

import datetime
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Team
from apps.core import housekeeping, jobs
from apps.core.models import JobStatus, LiveEvent
from apps.core.tests.factories import EvaluationFactory, QuickstartFactory, TrainingRunFactory
from apps.workspace.models import ExperimentRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

A_MINUTE = datetime.timedelta(minutes=1)


def dead(factory: Any, **fields: Any) -> Any:
    return factory.create(
        status=JobStatus.RUNNING, claim="c", heartbeat_at=timezone.now() - A_MINUTE, attempt=1, **fields
    )


def statuses(*rows: Any) -> list[str]:
    for row in rows:
        row.refresh_from_db()
    return [row.status for row in rows]


def test_a_row_that_cannot_be_recovered_holds_up_no_other(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(row: Any) -> None:
        raise RuntimeError(f"cannot end {row.claim}")

    # In the order of the kinds, the broken one comes before others.
    monkeypatch.setitem(
        jobs._KINDS,
        "training.trainingrun",
        jobs.JobKind("training.TrainingRun", "nowhere", max_attempts=1, after_failure=fails),
    )
    monkeypatch.setattr(jobs, "kinds", lambda: sorted(jobs._KINDS.values(), key=lambda kind: kind.task != "nowhere"))
    runs = [dead(TrainingRunFactory, team=team) for _ in range(2)]
    lost = EvaluationFactory.create(status=JobStatus.QUEUED, queued_at=timezone.now() - A_MINUTE)
    row = dead(QuickstartFactory, team=team)

    with pytest.raises(ExceptionGroup) as caught:
        jobs.reap()

    assert statuses(*runs, row, lost) == ["running", "running", "queued", "queued"]
    assert lost.queued_at > timezone.now() - A_MINUTE / 2
    assert [str(error) for error in caught.value.exceptions] == ["cannot end c"] * 2
    notes = "".join(note for error in caught.value.exceptions for note in error.__notes__)
    assert all(str(run.uid) in notes for run in runs)


def test_housekeeping_says_so_with_every_row_in_its_log(
    team: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(row: Any) -> bool:
        raise RuntimeError("the old process cannot be looked at")

    monkeypatch.setitem(
        jobs._KINDS, "workspace.experimentrun", jobs.JobKind("workspace.ExperimentRun", "nowhere", may_resume=fails)
    )
    monkeypatch.setattr(housekeeping, "_parts", {})
    housekeeping.register_housekeeping("jobs", "apps.core.jobs.reap")
    row = dead(QuickstartFactory, team=team)

    assert housekeeping.tick(100.0) == ["jobs"]
    assert str(row.uid) in caplog.text
    assert "the old process cannot be looked at" in caplog.text


def test_a_job_whose_end_cannot_be_told_has_not_ended(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    row = QuickstartFactory.create(team=team, status=JobStatus.QUEUED, queued_at=timezone.now())
    mine = jobs.claim(ExperimentRun, row.pk)
    assert mine is not None
    with monkeypatch.context() as patched:
        patched.setattr(jobs.live, "publish", lambda *_args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            jobs.finish(mine)
    assert statuses(row) == ["running"]

    assert jobs.finish(mine)
    assert statuses(row) == ["succeeded"]
    assert LiveEvent.objects.filter(part="status").count() == 1
