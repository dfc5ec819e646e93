"""Readiness says what is missing; housekeeping goes on when a part fails; memory is added up."""

import logging
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from apps.core import health, housekeeping, monitoring, tasks
from apps.core.models import Canary
from apps.core.processes import busy, stopping
from apps.core.processes.tree import RUN_VARIABLE

# What every installation is asked, embedded or not.
SHARED = {"database", "migrations", "cache", "queue", "storage", "secrets"}


@pytest.fixture
def embedded(settings: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded installation with a storage of its own and no processes."""
    settings.EMBEDDED, settings.VAR_DIR = True, tmp_path  # type: ignore[attr-defined]
    settings.INFERENCE_URL = "http://127.0.0.1:9/v1"  # type: ignore[attr-defined]
    monkeypatch.setattr(health, "_storage_seen", float("-inf"))
    return tmp_path


def checks() -> dict[str, health.Check]:
    return {check.name: check for check in health.readiness()}


@pytest.mark.django_db
def test_readiness_names_each_part_that_does_not_answer(embedded: Path) -> None:
    found = checks()
    assert {name for name, check in found.items() if check.ok} == SHARED
    assert found["inference"].detail == "the inference process does not answer; see var/log/inference.log"
    assert "since the start" in found["cluster worker"].detail


@pytest.mark.django_db
def test_a_cache_that_keeps_nothing_is_not_ready(settings: object) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}  # type: ignore[attr-defined]
    assert checks()["cache"].detail == "what was written to the cache cannot be read back"


@pytest.mark.django_db
def test_a_cluster_that_answered_lately_is_ready_and_an_answer_before_this_start_does_not_count(
    embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    Canary.objects.create(cluster="worker", asked_at=now, answered_at=now - timedelta(seconds=5), nonce="")
    assert checks()["cluster worker"].ok
    monkeypatch.setenv("LLMOPT_STARTED_AT", str(time.time()))
    assert not checks()["cluster worker"].ok


@pytest.mark.django_db
def test_a_full_cluster_is_ready_though_its_answer_is_old(embedded: Path, settings: object) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "workers": 1}  # type: ignore[attr-defined]
    now = timezone.now()
    Canary.objects.create(cluster="worker", asked_at=now, answered_at=now - timedelta(seconds=500), nonce="")
    assert "lately" in checks()["cluster worker"].detail
    busy.clear(embedded, "worker")
    busy.mark(embedded, "worker", seconds=60)
    assert checks()["cluster worker"].ok


@pytest.mark.django_db
def test_a_failing_part_shows_no_message_of_a_driver(embedded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("postgresql://user:password@host")

    monkeypatch.setattr(health, "check_database", broken)
    assert checks()["database"] == health.Check("database", False, "RuntimeError")


@pytest.mark.django_db
def test_outside_an_embedded_installation_only_what_is_shared_is_asked(settings: object) -> None:
    settings.EMBEDDED = False  # type: ignore[attr-defined]
    assert set(checks()) == SHARED


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No part but those that a test registers."""
    monkeypatch.setattr(housekeeping, "_parts", {})
    calls.clear()
    return calls


calls: list[str] = []


def works() -> None:
    calls.append("works")


def fails() -> None:
    calls.append("fails")
    raise RuntimeError("broken part")


def test_core_recovers_jobs_seals_the_audit_chain_and_forgets_old_events() -> None:
    known = housekeeping.registered()
    assert known["jobs"] == "apps.core.jobs.reap"
    assert known["audit"] == "apps.core.audit.seal_pending"
    assert known["live events"] == "apps.core.live.forget_old"


def test_a_part_that_fails_does_not_stop_the_others_and_is_logged_once_a_minute(
    parts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    housekeeping.register_housekeeping("first", f"{__name__}.fails")
    housekeeping.register_housekeeping("second", f"{__name__}.works")
    with caplog.at_level(logging.ERROR):
        assert housekeeping.tick(100.0) == ["first"]
        assert housekeeping.tick(102.0) == ["first"]
    assert parts == ["fails", "works"] * 2
    assert len(caplog.records) == 1
    assert "broken part" in caplog.text
    with caplog.at_level(logging.ERROR):
        housekeeping.tick(161.0)
    assert len(caplog.records) == 2


def test_a_part_is_run_as_often_as_it_asked_to_be(parts: list[str]) -> None:
    housekeeping.register_housekeeping("seldom", f"{__name__}.works", every_seconds=60)
    for now in (0.0, 2.0, 58.0, 60.0):
        housekeeping.tick(now)
    assert parts == ["works", "works"]


@pytest.mark.django_db
def test_one_instance_ticks_at_a_time_and_another_takes_over_from_a_dead_one() -> None:
    assert housekeeping.lease_take("one")
    assert not housekeeping.lease_take("two")
    assert housekeeping.lease_take("one")
    Canary.objects.filter(cluster=housekeeping.LEASE).update(asked_at=timezone.now() - timedelta(seconds=11))
    assert housekeeping.lease_take("two")
    assert not housekeeping.lease_take("one")
    housekeeping.lease_release("two")
    assert housekeeping.lease_take("one")


@pytest.mark.django_db(transaction=True)
def test_a_slice_ticks_until_its_end_and_queues_the_next(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    housekeeping.register_housekeeping("work", f"{__name__}.works")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    assert housekeeping.run_slice(seconds=6.0, clock=lambda: now[0], sleep=sleep) is True
    assert parts == ["works"] * 3
    monkeypatch.setattr(housekeeping, "run_slice", lambda: True)
    assert tasks.housekeeping_minute() is True
    assert OrmQ.objects.filter(key="housekeeping").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_second_slice_leaves_at_once_and_queues_nothing(parts: list[str]) -> None:
    housekeeping.register_housekeeping("work", f"{__name__}.works")
    housekeeping.lease_take("somebody else")
    assert tasks.housekeeping_minute() is False
    assert parts == []
    assert OrmQ.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_slice_ends_when_its_cluster_is_told_to_stop(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "requested", lambda: True)
    assert housekeeping.run_slice() is False
    assert parts == []


@pytest.mark.django_db
def test_the_schedule_is_made_once_and_the_first_slice_is_queued_at_every_start() -> None:
    tasks.schedules_ensure()
    tasks.schedules_ensure()
    (schedule,) = Schedule.objects.filter(func=tasks.MINUTE_TASK)
    assert (schedule.cluster, schedule.minutes, schedule.repeats) == ("housekeeping", 1, -1)
    assert OrmQ.objects.filter(key="housekeeping").count() == 2


def test_memory_is_added_up_over_the_processes_of_a_run_and_its_peak_is_kept(tmp_path: Path) -> None:
    hold = "data = bytearray(b'x') * 30_000_000; print('ready', flush=True); input()"
    environment = {**os.environ, RUN_VARIABLE: "memory-test"}
    process = subprocess.Popen(
        [sys.executable, "-c", hold], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    sampler = monitoring.MemorySampler("memory-test")
    sample = sampler.sample()
    assert len(sample.processes) == 1
    assert 28.0 < sample.total_mib < 60.0
    with_these_tests = monitoring.MemorySampler("memory-test", also=(os.getpid(),)).sample()
    assert with_these_tests.total_mib > sample.total_mib
    path = tmp_path / "peak.json"
    assert monitoring.record_peak(path, "memory-test", sample) == sample.total_mib
    process.communicate(b"\n")
    assert sampler.sample().total_mib == 0.0
    assert monitoring.record_peak(path, "memory-test", sampler.sample()) == sample.total_mib
    assert monitoring.read_peak(path, "memory-test") == sample.total_mib
    assert monitoring.read_peak(path, "another run") is None
