"""A start after a kill in the middle of another start, or of its stop, goes on instead of refusing."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from apps.core.processes import supervisor
from apps.core.processes.config import Places

HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def here(tmp_path: Path) -> Places:
    places = Places(tmp_path / "var", tmp_path)
    places.run.mkdir(parents=True)
    return places


def holder(here: Places, *, seconds: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(here.lock), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def write_state(here: Places, *, pid: int) -> None:
    state = {"run_id": "r", "host": "127.0.0.1", "port": 1, "pid": pid, "started_at": 0.0, "inference_port": 2}
    here.state.write_text(json.dumps(state))


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_start_waits_for_what_a_killed_start_left_to_end(here: Places) -> None:
    write_state(here, pid=ended_pid())
    left = holder(here, seconds=0.7)
    with supervisor._take_lock(here), here.lock.open("a+") as other:
        assert left.wait(5) == 0
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_start_beside_a_living_one_is_refused_at_once(here: Places) -> None:
    write_state(here, pid=os.getpid())
    other = holder(here, seconds=60)
    began = time.monotonic()
    with pytest.raises(supervisor.AlreadyRunning, match="already running at http://127.0.0.1:1"):
        supervisor._take_lock(here)
    assert time.monotonic() - began < supervisor._SHUTDOWN_SECONDS / 2
    other.kill()
    other.wait()


def test_a_kill_while_the_token_is_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inference-token"

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            supervisor._write_token(path)
    assert not path.exists()
    supervisor._write_token(path)
    assert len(path.read_text()) >= 32
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_port_of_another_program_is_refused_and_nothing_is_left(
    here: Places, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR, settings.BASE_DIR = here.var_dir, here.base_dir
    monkeypatch.setattr(supervisor, "_PORT_SECONDS", 0.0)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(supervisor.StartFailed, match=f"Nothing can listen on 127.0.0.1, port {port}.*LLMOPT_PORT"):
            supervisor.start(port=port)
    assert not here.state.exists()
    assert not here.configuration.exists()
    with here.lock.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    supervisor._wait_for_port("127.0.0.1", port)


def test_ctrl_c_is_heard_while_everything_starts() -> None:
    state = supervisor.State(run_id="r", host="127.0.0.1", port=1, pid=1, started_at=0.0, inference_port=2)
    with pytest.raises(supervisor.StartFailed, match="Stopped before everything was ready"):
        supervisor.wait_ready(state, wanted=lambda: False)


@pytest.mark.django_db
def test_training_that_is_asked_to_stop_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    supervisor._stop_training()
    assert capsys.readouterr().out == ""


def test_what_a_killed_start_left_does_not_run(here: Places, settings: Any) -> None:
    settings.VAR_DIR = here.var_dir
    assert not supervisor.is_running()
    write_state(here, pid=os.getpid())
    assert supervisor.is_running()
    write_state(here, pid=ended_pid())
    assert not supervisor.is_running()
