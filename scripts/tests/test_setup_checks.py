"""What the set-up looks at before anything is fetched, what it says then, and that it can be stopped."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core.tests.installation import wait_for
from apps.workspace.tests import browser
from scripts import testdb
from scripts.setup_lib import assets, checks, chromium, dotenv, environment, steps
from scripts.setup_lib.errors import SetupError, cannot_write_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_replaced_by_the_next_free_one_and_said(taken_port: int) -> None:
    port, said = checks.choose_port(taken_port)
    assert port > taken_port
    assert checks.port_is_free(port)
    assert str(taken_port) in said
    assert str(port) in said


def test_a_free_port_is_taken_as_asked(taken_port: int) -> None:
    port, _ = checks.choose_port(taken_port)
    assert checks.choose_port(port) == (port, f"port: {port}")


@pytest.mark.parametrize("value", ["http", "0", "70000", "-1"])
def test_a_port_that_is_no_port_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPT_PORT", value)
    with pytest.raises(SetupError, match="LLMOPT_PORT"):
        checks.wanted_port()


def test_too_little_disk_stops_and_says_how_much_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="1000000.0 GB are needed"):
        checks.disk_check({tmp_path / "not" / "yet": 1e6})


def test_what_goes_to_one_disk_is_added_up_and_two_disks_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, data = tmp_path / "clone", tmp_path / "data"
    clone.mkdir()
    data.mkdir()
    monkeypatch.setattr(checks, "free_disk_gb", lambda folder: 4.0)
    with pytest.raises(SetupError, match="5.0 GB are needed"):
        checks.disk_check({clone: 2.0, data: 3.0})
    monkeypatch.setattr(checks, "device_of", lambda folder: hash(folder))
    said = checks.disk_check({clone: 2.0, data: 3.0})
    assert f"disk at {clone}: 4 GB free, 2.0 GB needed" in said
    assert f"disk at {data}: 4 GB free, 3.0 GB needed" in said
    with pytest.raises(SetupError, match=str(data)):
        checks.disk_check({clone: 2.0, data: 4.5})


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "available_memory_gib", lambda: 1.5)
    assert "only 1.5 GiB free; 4 GiB are advised" in checks.memory_check()


def test_the_settings_file_gives_way_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("# LLMOPT_A=no\nLLMOPT_B='from the file'\nexport LLMOPT_C=file\n")
    monkeypatch.setenv("LLMOPT_C", "environment")
    monkeypatch.setenv("LLMOPT_B", "")
    monkeypatch.delenv("LLMOPT_B")
    dotenv.load(tmp_path)
    assert os.environ["LLMOPT_B"] == "from the file"
    assert os.environ["LLMOPT_C"] == "environment"
    assert "LLMOPT_A" not in os.environ


@pytest.mark.parametrize("name", ["my #1", "a ;b", "tab\t#"])
def test_a_place_that_the_process_supervisor_would_read_as_a_comment_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="LLMOPT_VAR_DIR"):
        checks.path_check(ROOT, tmp_path / name / "var")


def test_other_unusual_places_are_fine(tmp_path: Path) -> None:
    checks.path_check(tmp_path / "c++#" / "%41 a#b;c?d")


def test_the_database_lies_in_the_folder_for_data_whatever_its_name(tmp_path: Path) -> None:
    var_dir = tmp_path / "a+b c" / "50%41?x#y"
    var_dir.mkdir(parents=True)
    code = "import django; django.setup(); from django.db import connection as c; c.ensure_connection(); c.close()"
    own = {"LLMOPT_VAR_DIR": str(var_dir), "DJANGO_SETTINGS_MODULE": "llmopt.settings.dev"}
    clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**clean, **own}, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (var_dir / "llmopt.sqlite3").exists()


def test_a_start_with_a_database_of_ones_own_is_refused_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/llmopt")
    monkeypatch.delenv("LLMOPT_EMBEDDED", raising=False)
    kind = {"group": "run", "installed": True, "wanted": ()}
    with pytest.raises(SetupError, match="DATABASE_URL is set.*Several machines"):
        steps.first_checks(**kind, with_start=True)
    steps.first_checks(**kind, with_start=False)
    assert "## Several machines" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    monkeypatch.setenv("LLMOPT_EMBEDDED", "true")
    steps.first_checks(**kind, with_start=True)


def test_another_system_than_linux_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    source = (ROOT / "scripts" / "setup.py").read_text(encoding="utf-8")
    script = tmp_path / "setup.py"
    script.write_text(source.replace('PLATFORM = "linux"', 'PLATFORM = "another"'))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "LLMOpt runs on Linux" in done.stdout


# What is said of the packages.


def said_of_packages(capsys: pytest.CaptureFixture[str]) -> str:
    steps.first_checks(group="run", installed=False, wanted=(), with_start=False)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("stamped", "partly", "said"),
    [
        (False, False, "To download: about 419 MB of packages"),
        (False, True, "To download: at most 419 MB of packages"),
        (True, True, "The pinned packages, or what is needed of them, changed"),
    ],
)
def test_only_what_was_installed_here_is_brought_up_to_date(
    stamped: bool, partly: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "is_stamped", lambda: stamped)
    monkeypatch.setattr(environment, "can_be_completed", lambda: partly)
    monkeypatch.setattr(checks, "free_disk_gb", lambda folder: 100.0)
    assert said in said_of_packages(capsys)


def test_a_moved_or_half_installed_environment_is_no_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "environment_works", lambda venv: True)
    venv = tmp_path / "before"
    for name in ("pip", "setuptools", "django", "torch"):
        (environment.site_packages(venv) / f"{name}-1.dist-info").mkdir(parents=True)
    assert not environment.is_stamped(venv)
    assert environment.can_be_completed(venv)
    environment.write_stamp(group="run", venv=venv)
    assert environment.is_stamped(venv)
    moved = venv.rename(tmp_path / "after")
    assert not environment.is_stamped(moved)
    assert not environment.can_be_completed(moved)


def test_a_first_set_up_needs_disk_in_both_places_and_an_installed_one_only_for_data(tmp_path: Path) -> None:
    first = steps.disk_needed(group="run", installed=False, update=False, var_dir=tmp_path)
    assert first == {steps.ROOT: 1.9, tmp_path: 3.0}
    assert steps.disk_needed(group="run", installed=True, update=False, var_dir=tmp_path) == {tmp_path: 1.0}


# What cannot be written, in words.


def test_a_place_that_cannot_be_written_is_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "LLMOPT_VAR_DIR": str(tmp_path / "file" / "var")}
    command = [sys.executable, str(ROOT / "scripts" / "setup.py"), "--assets", "none"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr
    assert "LLMOPT_VAR_DIR" in done.stderr


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_each_reason_says_what_to_do(number: int) -> None:
    said = cannot_write_text(OSError(number, os.strerror(number), "/var/x"))
    assert said.startswith("/var/x cannot be written: ")
    assert cannot_write_text(OSError(errno.EBADF, "a fault of ours")) == ""


# Stopping.

TERMINATED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from scripts.setup_lib import steps
steps.set_up = lambda options: os.kill(os.getpid(), int(sys.argv[2]))
sys.exit(steps.run([]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_ends_the_set_up_as_ctrl_c_does(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TERMINATED, str(ROOT), str(int(number))], capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 130
    assert "the same command goes on from here" in done.stderr


def test_the_restoring_of_the_model_ends_with_the_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho $$ > "{pid}.new"\nmv "{pid}.new" "{pid}"\nexec sleep 60\n')
    python.chmod(0o755)

    class Interrupted(assets.Phase):
        def show(self, note: str) -> None:
            wait_for(pid.exists, what="the restoring to begin")
            raise KeyboardInterrupt

    monkeypatch.setattr(assets, "Phase", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        assets.restore_model(
            python=python, source=tmp_path / "m.gguf", destination=tmp_path / "m", log=tmp_path / "log"
        )
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


# The browser.


def test_a_missing_browser_is_said_before_the_packages_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []

    def refused(**kwargs: Any) -> str:
        raise SetupError("no Chromium")

    monkeypatch.setenv("LLMOPT_VAR_DIR", str(tmp_path))
    monkeypatch.setattr(environment, "is_installed", lambda **kwargs: False)
    monkeypatch.setattr(environment, "install", lambda **kwargs: installed.append("packages"))
    monkeypatch.setattr(steps, "first_checks", lambda **kwargs: None)
    monkeypatch.setattr(steps, "ensure_chromium", refused)
    with pytest.raises(SetupError, match="no Chromium"):
        steps.set_up(steps.parse(["--dev", "--browser", "--assets", "none"]))
    assert installed == []


@pytest.mark.parametrize("name", chromium.NAMES)
def test_the_tests_take_every_browser_that_the_set_up_takes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LLMOPT_CHROMIUM", raising=False)
    assert browser.chromium() == chromium.find_chromium() == str(tmp_path / name)


# The test command.


@pytest.mark.parametrize(
    ("codes", "status"), [([0, 0], 0), ([0, 5], 0), ([5, 0], 0), ([5, 5], 5), ([5], 5), ([1, 5], 1), ([0, 2], 2)]
)
def test_a_narrowed_run_may_have_nothing_for_one_of_the_databases(codes: list[int], status: int) -> None:
    assert testdb.verdict(codes) == status
