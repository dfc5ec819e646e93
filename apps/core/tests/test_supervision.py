"""A whole embedded installation, started, killed in parts, and stopped."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.core.processes import tree
from apps.core.tests.installation import Installation, alive, copied_installation, free_port, kill, migrated, wait_for

pytestmark = pytest.mark.slow
# Opens nothing, and nothing is called with it: no team takes it up.
PLANTED = "sk-planted-0123456789"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory, "template")


@pytest.fixture
def installation(template: Path, tmp_path: Path) -> Iterator[Installation]:
    installation = copied_installation(
        template, tmp_path / "var", LLMOPT_CANARY_SECONDS="1", LLMOPT_STUCK_SECONDS="4", OPENAI_API_KEY=PLANTED
    )
    yield installation
    installation.end()
    tree.kill_all(tree.processes_of(run_id(installation)), grace_seconds=5)


def run_id(installation: Installation) -> str:
    try:
        return str(json.loads((installation.var_dir / "run" / "state.json").read_text())["run_id"])
    except FileNotFoundError:
        return "stopped"


def supervised(installation: Installation) -> tuple["subprocess.Popen[str]", int]:
    port = free_port()
    process = installation.start("supervise", "--port", str(port))
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"Ready at http://127.0.0.1:{port}")
    return process, port


def program_pid(installation: Installation, name: str) -> int:
    """The pid that supervisord knows for a program that is running; 0 while it is not."""
    for line in installation.manage("supervise", "--status").stdout.splitlines():
        words = line.split()
        if words[0] == name and words[1] == "running":
            return int(words[3])
    return 0


def test_an_installation_starts_once_serves_and_leaves_nothing_behind_when_it_is_stopped(
    installation: Installation,
) -> None:
    process, port = supervised(installation)
    run = run_id(installation)
    assert len(tree.processes_of(run)) >= 14
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
        assert json.load(response)["ready"] is True
    inference = Path(f"/proc/{program_pid(installation, 'inference')}/environ").read_bytes()
    assert b"LLMOPT_ROLE=inference" in inference
    assert PLANTED.encode() not in inference
    second = installation.manage("supervise", "--port", str(free_port()))
    assert second.returncode != 0
    assert f"LLMOpt is already running at http://127.0.0.1:{port}" in second.stderr
    peak = installation.var_dir / "run" / "peak_pss.json"
    assert wait_for(peak.exists, what="a memory sample")
    assert json.loads(peak.read_text())["peak_mib"] > 50
    process.terminate()
    assert process.wait(30) == 0
    assert tree.processes_of(run) == []
    assert not (installation.var_dir / "run" / "state.json").exists()


def test_killed_and_hanging_parts_come_back_and_tasks_run_again(installation: Installation) -> None:
    supervised(installation)
    for name in ("web", "worker"):
        before = program_pid(installation, name)
        kill(before)
        after = wait_for(lambda n=name, b=before: _other(program_pid(installation, n), b), what=f"{name} to come back")
        assert after != before
    installation.enqueue(("note_pid", installation.path("first")))
    idle = installation.pid_in("first")
    kill(idle)
    installation.enqueue(("note_pid", installation.path("second")))
    # Where it may have died holding the lock of the queue, its cluster starts again, and takes up what it had fetched.
    assert installation.pid_in("second", seconds=45) != idle

    stuck = wait_for(lambda: program_pid(installation, "worker"), what="the worker to run")
    for found in tree.processes_of(run_id(installation)):
        if "--cluster worker" in found.command:
            os.kill(found.key.pid, signal.SIGSTOP)
    installation.enqueue(("note_pid", installation.path("after")))
    assert installation.pid_in("after", seconds=45) != stuck
    assert not alive(stuck)


def test_everything_but_training_dies_with_the_process_that_started_it(installation: Installation) -> None:
    process, _port = supervised(installation)
    run = run_id(installation)
    training = subprocess.Popen(
        ["sleep", "60"], env={**os.environ, tree.RUN_VARIABLE: run, tree.ROLE_VARIABLE: "host"}, start_new_session=True
    )
    process.kill()

    def left() -> list[str]:
        return [found.command for found in tree.processes_of(run)]

    wait_for(lambda: left() == ["sleep 60"], seconds=30, what="everything but training to end")
    again, _port = supervised(installation)
    assert run_id(installation) == run
    assert training.poll() is None
    again.send_signal(signal.SIGINT)
    assert again.wait(30) == 0
    assert training.wait(5) != 0
    assert left() == []


def test_a_killed_supervisor_takes_its_programs_with_it(installation: Installation) -> None:
    process, _port = supervised(installation)
    run = run_id(installation)
    kill(int((installation.var_dir / "run" / "supervisord.pid").read_text()))
    began = time.monotonic()
    assert process.wait(30) == 1
    assert tree.processes_of(run) == []
    assert time.monotonic() - began < 30


def _other(pid: int, than: int) -> int:
    return pid if pid != than else 0
