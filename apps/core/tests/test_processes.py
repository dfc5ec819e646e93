"""Processes that belong together die together; a queue cluster survives what can be survived."""

import configparser
import datetime
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from apps.core.management.commands import watchdog as watchdog_command
from apps.core.models import Canary
from apps.core.processes import busy, stopping, tree
from apps.core.processes.cluster import STUCK, cluster_names, release_messages, worker_count
from apps.core.processes.config import Places, configuration_text, programs
from apps.core.processes.watchdog import ClusterWatch
from apps.core.tests.installation import (
    ROOT,
    Installation,
    alive,
    copied_installation,
    descendants,
    kill,
    migrated,
    wait_for,
)


@pytest.mark.django_db
@pytest.mark.parametrize(("embedded", "released"), [(True, 1), (False, 0)])
def test_what_a_killed_cluster_had_fetched_is_taken_up_again_where_no_other_can_have_it(
    settings: Any, monkeypatch: pytest.MonkeyPatch, embedded: bool, released: int
) -> None:
    settings.EMBEDDED = embedded
    monkeypatch.setattr("django.db.connections.close_all", lambda: None)
    now = timezone.now()
    half_an_hour = now + datetime.timedelta(minutes=30)
    fetched = OrmQ.objects.create(key="worker", payload="x", lock=half_an_hour)
    of_another = OrmQ.objects.create(key="housekeeping", payload="x", lock=half_an_hour)

    assert release_messages("worker") == released

    fetched.refresh_from_db()
    of_another.refresh_from_db()
    assert (fetched.lock < half_an_hour) is embedded
    assert of_another.lock == half_an_hour


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var directory with a migrated database, copied for each test."""
    return migrated(tmp_path_factory, "template")


@pytest.fixture
def installation(template: Path, tmp_path: Path) -> Iterator[Installation]:
    installation = copied_installation(template, tmp_path / "var")
    yield installation
    installation.end()


def tied_child(parent_code: str) -> tuple["subprocess.Popen[str]", int]:
    """A parent that runs `parent_code` and prints its child's pid."""
    parent = subprocess.Popen([sys.executable, "-c", parent_code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_a_tied_command_is_killed_with_its_parent() -> None:
    code = """
import os, subprocess, sys, time
os.environ["LLMOPT_PARENT_PID"] = str(os.getpid())
child = subprocess.Popen([sys.executable, "-m", "apps.core.processes.tied", "sleep", "60"])
time.sleep(0.5)
print(child.pid, flush=True)
time.sleep(60)
"""
    parent, child = tied_child(code)
    assert alive(child)
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(child), seconds=5, what="the child to die")


def test_a_tied_command_whose_parent_is_already_gone_does_not_start() -> None:
    environment = {**os.environ, "LLMOPT_PARENT_PID": "1"}
    command = [sys.executable, "-m", "apps.core.processes.tied", "sleep", "60"]
    result = subprocess.run(command, cwd=ROOT, env=environment, timeout=10)
    assert result.returncode == -signal.SIGKILL


def test_processes_are_found_by_their_run_even_when_detached_and_are_ended() -> None:
    environment = {**os.environ, tree.RUN_VARIABLE: "test-run-17", tree.ROLE_VARIABLE: "host"}
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn], env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    (found,) = tree.processes_of("test-run-17")
    assert (found.key.pid, found.role) == (process.pid, "host")
    assert tree.processes_of("test-run-18") == []
    assert tree.kill_all([found], grace_seconds=0.2) == [found]
    assert process.wait(5) == -signal.SIGKILL


def test_a_reused_pid_is_not_killed() -> None:
    process = subprocess.Popen(["sleep", "60"])
    key = wait_for(lambda: tree.process_key(process.pid), what="the process")
    stranger = tree.Found(tree.ProcessKey(process.pid, key.started - 1), "", "")
    assert tree.kill_all([stranger]) == []
    assert process.poll() is None
    process.kill()
    process.wait()


def test_the_configuration_is_what_supervisor_reads(tmp_path: Path) -> None:
    places = Places(tmp_path / "100% var", ROOT)
    supervised = programs(
        places, host="127.0.0.1", port=8000, inference_port=8710, token_file=tmp_path / "token", reload=False
    )
    parser = configparser.RawConfigParser()
    parser.read_string(configuration_text(places, supervised))
    names = {section.removeprefix("program:") for section in parser.sections() if section.startswith("program:")}
    assert names == {"web", "worker", "housekeeping", "inference", "watchdog"}
    for name in names:
        assert parser[f"program:{name}"]["autorestart"] == "true"
        assert parser[f"program:{name}"]["killasgroup"] == "true"
        assert "apps.core.processes.tied" in parser[f"program:{name}"]["command"]
    assert parser["unix_http_server"]["chmod"] == "0700"
    assert "100%% var" in parser["program:web"]["stdout_logfile"]


def test_inference_gets_no_secret_of_the_supervisors_environment_and_the_web_server_gets_all(tmp_path: Path) -> None:
    places = Places(tmp_path, ROOT)
    supervised = programs(places, host="x", port=1, inference_port=2, token_file=tmp_path / "token", reload=False)
    parser = configparser.RawConfigParser()
    parser.read_string(configuration_text(places, supervised))
    planted = dict.fromkeys(
        ("OPENAI_API_KEY", "LLMOPT_ENCRYPTION_KEYS", "LLMOPT_SECRET_KEY", "HF_TOKEN", "SMTP_PASSWORD", "DATABASE_URL"),
        "sk-planted",
    )
    environment = {
        **os.environ,
        **planted,
        "MAIL": "smtp://me:sk-planted@mail",
        "LLMOPT_RUN": "r",
        "LLMOPT_PARENT_PID": "",
    }

    def given(name: str) -> str:
        """What the program's own command line would have found around it."""
        started = shlex.split(parser[f"program:{name}"]["command"])
        before = started[: started.index(sys.executable, 1)]
        code = "import os; print(dict(os.environ))"
        done = subprocess.run(
            [*before, sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20
        )
        assert "LLMOPT_RUN" in done.stdout, done.stderr
        return done.stdout

    assert "sk-planted" not in given("inference")
    assert given("web").count("sk-planted") == len(planted) + 1


def test_a_socket_path_that_the_kernel_would_refuse_is_shortened(tmp_path: Path) -> None:
    places = Places(tmp_path / ("deep" * 30), ROOT)
    assert len(os.fsencode(places.socket)) < 108
    assert places.socket != Places(tmp_path / ("deep" * 31), ROOT).socket


def test_a_worker_counts_as_busy_while_it_is_alive_and_within_its_time(tmp_path: Path) -> None:
    busy.clear(tmp_path, "worker")
    assert busy.count(tmp_path, "worker") == 0
    busy.mark(tmp_path, "worker", seconds=60)
    assert busy.count(tmp_path, "worker") == 1
    busy.mark(tmp_path, "worker", seconds=-1)
    assert busy.count(tmp_path, "worker") == 0
    (busy.directory(tmp_path, "worker") / "999999999").touch()
    busy.mark(tmp_path, "worker", seconds=60)
    busy.unmark(tmp_path, "worker")
    assert busy.count(tmp_path, "worker") == 0


def test_nothing_was_asked_to_stop_outside_a_cluster() -> None:
    assert stopping.requested() is False


@pytest.mark.django_db
def test_a_cluster_with_a_free_worker_that_stays_silent_is_stuck() -> None:
    watch = ClusterWatch("worker", 2)
    assert watch.look(now=1000.0, busy=0) is False
    assert Canary.objects.get(cluster="worker").nonce == watch.nonce
    assert watch.look(now=1059.0, busy=1) is False
    assert watch.look(now=1060.0, busy=1) is True


@pytest.mark.django_db
def test_a_full_cluster_is_not_stuck_and_gets_its_time_after_it_was_full() -> None:
    watch = ClusterWatch("worker", 2)
    watch.look(now=1000.0, busy=0)
    assert watch.look(now=1090.0, busy=2) is False
    assert watch.look(now=1149.0, busy=1) is False
    assert watch.look(now=1150.0, busy=1) is True


@pytest.mark.django_db
def test_an_answer_is_asked_for_again_and_an_old_one_does_not_count() -> None:
    from apps.core.tasks import canary_answer

    watch, now = ClusterWatch("worker", 2), time.monotonic()
    watch.look(now=now - 20, busy=0)
    first = watch.nonce
    assert canary_answer("worker", first) is True
    assert watch.look(now=now, busy=0) is False
    assert watch.nonce != first
    assert canary_answer("worker", first) is False
    assert watch.look(now=now + 61, busy=0) is True


@pytest.mark.django_db
def test_the_watchdog_restarts_a_stuck_cluster_and_asks_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    restarted: list[str] = []
    monkeypatch.setattr(watchdog_command, "restart", restarted.append)
    watch = ClusterWatch("worker", 2, stuck_seconds=0.0)
    watch.ask(time.monotonic() - 1)
    first = watch.nonce
    watchdog_command.look_at_clusters([watch])
    assert restarted == ["worker"]
    assert watch.nonce != first


def set_clock(monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> None:
    """The wall clock of this process as if somebody had set it; time goes on as before."""
    ago = time.time()
    monkeypatch.setattr(time, "time", lambda: ago + seconds)
    monkeypatch.setattr(timezone, "now", lambda: datetime.datetime.fromtimestamp(ago + seconds, datetime.UTC))


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
@pytest.mark.parametrize("workers_in_a_task", [0, 1])
def test_a_clock_that_is_set_restarts_no_healthy_cluster(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path, seconds: float, workers_in_a_task: int
) -> None:
    restarted: list[str] = []
    monkeypatch.setattr(watchdog_command, "restart", restarted.append)
    settings.VAR_DIR = tmp_path
    busy.clear(tmp_path, "worker")
    if workers_in_a_task:
        busy.mark(tmp_path, "worker", seconds=600)
    watch = ClusterWatch("worker", 1)
    watchdog_command.look_at_clusters([watch])
    first = watch.nonce
    assert first
    set_clock(monkeypatch, seconds=seconds)
    watchdog_command.look_at_clusters([watch])
    assert (restarted, watch.nonce) == ([], first)
    stuck = watch.look(now=time.monotonic() + 90, busy=busy.count(tmp_path, "worker"))
    assert stuck == (workers_in_a_task == 0)  # the silence of a worker inside its task says nothing


@pytest.mark.django_db
def test_a_question_is_stored_with_the_time_of_day() -> None:
    before = timezone.now()
    ClusterWatch("worker", 1).ask(time.monotonic())
    assert before <= Canary.objects.get().asked_at <= timezone.now()


def test_memory_is_looked_at_less_often_when_looking_is_dear() -> None:
    assert watchdog_command.sample_pause(0.001) == 2.0
    assert watchdog_command.sample_pause(0.05) == pytest.approx(5.0)
    assert watchdog_command.sample_pause(1.0) == 10.0


def test_both_clusters_are_named_and_sized_by_the_settings() -> None:
    assert cluster_names() == ["worker", "housekeeping"]
    assert worker_count("housekeeping") == 2


def test_a_mistyped_cluster_is_refused(installation: Installation) -> None:
    result = installation.manage("worker", "--cluster", "wroker")
    assert result.returncode != 0
    assert "There is no queue wroker; there are: worker, housekeeping." in result.stderr


def test_a_killed_cluster_takes_its_forks_with_it(installation: Installation) -> None:
    master = installation.start("worker", "--cluster", "worker")
    installation.enqueue(("note_pid_and_work", installation.path("busy"), 60.0))
    worker = installation.pid_in("busy")
    forks = descendants(master.pid)
    # A sentinel, two workers, a pusher and a monitor.
    assert len(forks) == 5
    assert worker in forks
    kill(master.pid)
    wait_for(lambda: not any(alive(pid) for pid in forks), seconds=5, what="the forks to die")


def test_a_worker_killed_inside_a_task_is_replaced_and_the_other_tasks_go_on(installation: Installation) -> None:
    master = installation.start("worker", "--cluster", "worker")
    installation.enqueue(
        ("note_pid_and_work", installation.path("killed"), 60.0), ("note_pid_and_work", installation.path("kept"), 60.0)
    )
    killed, kept = installation.pid_in("killed"), installation.pid_in("kept")
    kill(killed)
    installation.enqueue(("note_pid", installation.path("next")))
    assert installation.pid_in("next") not in {killed, kept}
    assert alive(kept)
    assert master.poll() is None


def test_a_killed_idle_worker_ends_the_whole_cluster_so_that_it_is_started_anew(installation: Installation) -> None:
    master = installation.start("worker", "--cluster", "worker")
    installation.enqueue(("note_pid", installation.path("ready")))
    worker = installation.pid_in("ready")
    wait_for(lambda: busy.count(installation.var_dir, "worker") == 0, what="the worker to be idle")
    forks = descendants(master.pid)
    kill(worker)
    assert master.wait(15) == STUCK
    assert not any(alive(pid) for pid in forks)


def test_a_worker_killed_with_its_timers_lock_does_not_hold_up_the_guard_for_ever() -> None:
    code = """
import multiprocessing, os, signal, sys
from apps.core.processes.cluster import BoundedLock
lock = BoundedLock(0.2)
def die():
    lock.__enter__()
    os.kill(os.getpid(), signal.SIGKILL)
worker = multiprocessing.get_context("fork").Process(target=die)
worker.start()
worker.join()
with lock:
    sys.exit(0)
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "llmopt.settings.test"}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, timeout=30).returncode == STUCK


def test_a_stop_reaches_a_running_task_which_ends_in_time(installation: Installation) -> None:
    master = installation.start("worker", "--cluster", "worker")
    installation.enqueue(("note_pid_and_work", installation.path("work"), 60.0))
    worker = installation.pid_in("work")
    master.terminate()
    assert installation.pid_in("work.ended") == worker
    assert master.wait(10) == 0
