"""Work outlives a database that is away for a moment, and a process that is slow but alive."""

import datetime
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError, InterfaceError, OperationalError
from django.utils import timezone

from apps.accounts.models import Team
from apps.core import housekeeping, jobs
from apps.core.db import is_database_away
from apps.core.models import Canary, JobModel, JobStatus
from apps.core.tests.factories import EvaluationFactory, QuickstartFactory, TrainingRunFactory
from apps.evaluation.services import slices
from apps.providers.models import LanguageModel
from apps.training import host as hosting
from apps.training.models import TrainingRun
from apps.workspace.quickstart import service

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

AWAY = OperationalError("the database system is shutting down")


def running(factory: Any, **fields: Any) -> Any:
    return factory.create(status=JobStatus.RUNNING, claim="mine", attempt=1, heartbeat_at=timezone.now(), **fields)


def status_of(row: JobModel) -> str:
    return str(type(row)._default_manager.get(pk=row.pk).status)


def raising(error: Exception) -> Any:
    def raise_it(*_args: Any, **_more: Any) -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (AWAY, True),
        (InterfaceError("connection already closed"), True),
        (ExceptionGroup("tasks", [ValueError("x"), AWAY]), True),
        (DataError("value too long"), False),
        (ValueError("x"), False),
    ],
)
def test_an_outage_is_told_from_a_mistake(error: Exception, away: bool) -> None:
    assert is_database_away(error) is away


@pytest.mark.parametrize(("error", "status"), [(AWAY, JobStatus.RUNNING), (ValueError("x"), JobStatus.FAILED)])
def test_an_evaluation_whose_database_went_away_is_left_to_the_reaper(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    row = running(EvaluationFactory)
    monkeypatch.setattr(slices, "work_slice", raising(error))
    with pytest.raises(type(error)):
        slices.evaluation_slice_work(actor=None, evaluation=row)
    assert status_of(row) == status


@pytest.mark.parametrize(("error", "status"), [(AWAY, JobStatus.RUNNING), (ValueError("x"), JobStatus.FAILED)])
def test_a_quickstart_whose_database_went_away_is_left_to_the_reaper(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    row = running(QuickstartFactory)
    monkeypatch.setattr(service, "_advance", raising(error))
    with pytest.raises(type(error)):
        service.experiment_run_work(actor=None, quickstart=row)
    assert status_of(row) == status


def test_a_training_goes_on_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = running(TrainingRunFactory)
    answers = iter([AWAY, InterfaceError("closed")])
    bring_in = hosting._bring_in

    def sometimes(host: hosting.Host) -> bool:
        error = next(answers, None)
        if error is not None:
            raise error
        return bring_in(host)

    monkeypatch.setattr(hosting, "_bring_in", sometimes)
    monkeypatch.setattr(hosting, "AWAY_SECONDS", 0.0)
    monkeypatch.setattr(hosting, "POLL_SECONDS", 0.01)
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(10)"]) as engine:
        host = hosting.Host(run=run, folder=tmp_path, engine=engine)
        assert hosting._follow(host) == hosting.EXIT_PAUSED
    assert next(answers, "used") == "used"


def test_a_host_is_heard_while_it_registers_what_it_trained(settings: Any) -> None:
    settings.JOB_HEARTBEAT_SECONDS = 0.02
    run = running(TrainingRunFactory)
    long_ago = timezone.now() - datetime.timedelta(hours=1)
    TrainingRun.objects.filter(pk=run.pk).update(heartbeat_at=long_ago)
    with hosting._heard(run):
        for _look in range(500):
            if TrainingRun.objects.get(pk=run.pk).heartbeat_at > long_ago:
                break
            time.sleep(0.02)
    heard = TrainingRun.objects.get(pk=run.pk).heartbeat_at
    assert heard > long_ago
    time.sleep(0.1)
    assert TrainingRun.objects.get(pk=run.pk).heartbeat_at == heard


def test_a_heartbeat_in_the_last_moment_saves_a_row_that_has_used_up_its_attempts(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = running(QuickstartFactory, team=team)
    most = jobs.kind_of(row).max_attempts
    type(row).objects.filter(pk=row.pk).update(
        attempt=most, heartbeat_at=timezone.now() - datetime.timedelta(minutes=1)
    )
    monkeypatch.setattr(jobs.log, "warning", lambda *_args, **_more: jobs.heartbeat(row))
    assert jobs.reap() == 0
    assert status_of(row) == JobStatus.RUNNING


def test_a_model_fails_with_the_run_that_the_reaper_gives_up(team: Team) -> None:
    run = running(TrainingRunFactory, team=team)
    most = jobs.kind_of(run).max_attempts
    TrainingRun.objects.filter(pk=run.pk).update(
        attempt=most, heartbeat_at=timezone.now() - datetime.timedelta(minutes=1)
    )
    assert jobs.reap() == 1
    model = LanguageModel.objects.get(pk=run.language_model_id)
    assert (status_of(run), model.state) == (JobStatus.FAILED, LanguageModel.State.FAILED)
    assert f"{most} times" in model.error


def test_a_clock_that_is_set_back_holds_up_neither_the_ticker_nor_a_row_that_waits(team: Team) -> None:
    an_hour = datetime.timedelta(hours=1)
    assert housekeeping.lease_take("dead")
    assert not housekeeping.lease_take("next")
    Canary.objects.filter(cluster=housekeeping.LEASE).update(asked_at=timezone.now() + an_hour)
    assert housekeeping.lease_take("next")
    row = QuickstartFactory.create(team=team, status=JobStatus.QUEUED, queued_at=timezone.now() + an_hour)
    assert (jobs.reap(), jobs.reap()) == (1, 0)
    assert status_of(row) == JobStatus.QUEUED
