"""`manage.py up`: what it refuses before it starts, when it ends by itself, and what it says when it is stopped."""

import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

import manage
from apps.core.models import JobStatus
from apps.core.processes import supervisor
from apps.core.tests.factories import EvaluationFactory, ExperimentFactory, QuickstartFactory, TrainingRunFactory
from apps.core.tests.installation import Installation, free_port
from apps.workspace.management.commands import up
from apps.workspace.models import ExperimentRun
from apps.workspace.terminal import following
from apps.workspace.terminal.console import terminal_console

DEFINITION = {"prompts": {"few_shot": {"sample": 2, "draw_seeds": [1]}}}


# Refused before anything starts.


def test_a_report_that_could_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORT", str(tmp_path / "report.json"))
    up._check_report_path()
    monkeypatch.setenv("REPORT", str(tmp_path))
    with pytest.raises(CommandError, match="is a folder"):
        up._check_report_path()
    monkeypatch.setenv("REPORT", str(tmp_path / "report.json"))
    # The account that runs the tests may be root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(CommandError, match="nothing can be written to the folder"):
        up._check_report_path()


def test_a_folder_for_data_that_cannot_be_written_is_refused(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    up._check_var_dir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "log")
    with pytest.raises(CommandError, match="var/log cannot be written by this account"):
        up._check_var_dir()
    (tmp_path / "file").touch()
    settings.VAR_DIR = tmp_path / "file" / "var"
    with pytest.raises(CommandError, match="cannot be made"):
        up._check_var_dir()


# When a headless run ends by itself.


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything runs, and nobody waits."""
    monkeypatch.setattr(following, "close_old_connections", lambda: None)
    monkeypatch.setattr(following.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(supervisor, "daemon_alive", lambda: True)
    monkeypatch.setattr(supervisor, "given_up", lambda: [])


def follow(quickstart: ExperimentRun, *, headless: bool = True) -> tuple[bool, str]:
    output = io.StringIO()
    succeeded = up._follow(quickstart, terminal_console(output), threading.Event(), headless=headless)
    return succeeded, output.getvalue()


@pytest.mark.django_db
@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("headless", [True, False])
def test_a_program_that_is_no_longer_started_ends_the_wait(headless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "given_up", lambda: ["worker"])
    quickstart = QuickstartFactory.create(status=JobStatus.RUNNING, definition=DEFINITION)
    succeeded, said = follow(quickstart, headless=headless)
    assert not succeeded
    assert "not started any more: worker" in said


@pytest.mark.django_db
@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("paused", ["quickstart", "training", "evaluation"])
def test_a_pause_ends_a_headless_run(paused: str) -> None:
    status = {paused: JobStatus.PAUSED}
    quickstart = QuickstartFactory.create(
        status=status.get("quickstart", JobStatus.RUNNING),
        definition=DEFINITION,
        experiment=ExperimentFactory.create(),
        training_run=TrainingRunFactory.create(status=status.get("training", JobStatus.RUNNING)),
    )
    EvaluationFactory.create(
        candidate__experiment=quickstart.experiment, status=status.get("evaluation", JobStatus.RUNNING)
    )
    succeeded, said = follow(quickstart)
    assert not succeeded
    assert "The quickstart was paused; the same command goes on from here." in said


@pytest.mark.django_db
@pytest.mark.usefixtures("followed")
def test_beside_a_page_a_pause_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    quickstart = QuickstartFactory.create(status=JobStatus.PAUSED, definition=DEFINITION)
    looks = iter([True, True, False])
    monkeypatch.setattr(supervisor, "daemon_alive", lambda: next(looks))
    assert not follow(quickstart, headless=False)[0]
    assert next(looks, None) is None


@pytest.mark.django_db
@pytest.mark.usefixtures("followed")
def test_a_job_that_failed_says_why_whatever_else_is_paused() -> None:
    quickstart = QuickstartFactory.create(
        status=JobStatus.FAILED,
        error="The base model is missing.",
        definition=DEFINITION,
        training_run=TrainingRunFactory.create(status=JobStatus.PAUSED),
    )
    succeeded, said = follow(quickstart)
    assert not succeeded
    assert "The base model is missing." in said


def test_given_up_is_what_supervisord_calls_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [supervisor.ProgramStatus(name, name, 0, 0, "") for name in ("fatal", "running", "backoff")]
    monkeypatch.setattr(supervisor, "status", lambda: states)
    assert supervisor.given_up() == ["fatal"]


# Ctrl-C.


def test_ctrl_c_before_a_command_listens_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("django.core.management.execute_from_command_line", interrupted)
    with pytest.raises(SystemExit) as ended:
        manage.main()
    assert ended.value.code == 130


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "a+b c" / "var")
    yield made
    made.end()


@pytest.mark.slow
def test_ctrl_c_says_that_it_stops_and_leaves_nothing(installation: Installation) -> None:
    process = installation.start("up", "--no-quickstart", "--port", str(free_port()))
    assert process.stdout is not None
    said = ""
    while "/sign-in/link/" not in said.rpartition("Running.")[2]:
        line = process.stdout.readline()
        assert line, said
        said += line if "Running." in said or "Running." in line else ""
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Stopping; a training that runs saves first." in rest
    assert "training hosts asked" not in rest
    assert "Ended a process that was left" not in rest
    assert not (installation.var_dir / "run" / "state.json").exists()
