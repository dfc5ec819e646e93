"""A real embedded installation in a folder of its own, for tests that start and kill processes."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from apps.core.processes.tree import process_key

ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")
# Runs each line of its input, a program in JSON, in names of its own, and answers with what that printed and raised.
SHELL = """
import contextlib, io, json, sys, traceback
import django
django.setup()
from django.db import connections
for line in sys.stdin:
    printed, raised = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed):
            exec(json.loads(line), {"__name__": "__main__"})
    except BaseException:
        raised = traceback.format_exc()
    connections.close_all()
    print(json.dumps([printed.getvalue(), raised]), flush=True)
"""


@dataclass
class Installation:
    """`var_dir` holds a migrated SQLite database. Everything started through it is killed by `end`."""

    var_dir: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: list["subprocess.Popen[str]"] = field(default_factory=list)
    _shell: "subprocess.Popen[str] | None" = None

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LLMOPT_", "Q_CLUSTER"))}
        inherited.pop("DATABASE_URL", None)
        own = {
            "LLMOPT_VAR_DIR": str(self.var_dir),
            "LLMOPT_WORKERS": "2",
            "DJANGO_SETTINGS_MODULE": "llmopt.settings.dev",
            # Tests may hold many processes; numerical libraries would start threads in each.
            "OPENBLAS_NUM_THREADS": "1",
        }
        return {**inherited, **own, **self.variables}

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def run_python(self, code: str) -> str:
        """What `code` prints, with Django set up as it is for the processes of this installation.

        One process runs them all, with the variables of the first; it takes a second or more to start.
        """
        if self._shell is None:
            self._shell = subprocess.Popen(
                [sys.executable, "-c", SHELL],
                cwd=ROOT, env=self.environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            self.started.append(self._shell)
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        print(json.dumps(code), file=self._shell.stdin, flush=True)
        printed, raised = json.loads(self._shell.stdout.readline())
        assert not raised, raised
        assert isinstance(printed, str)
        return printed

    def enqueue(self, *calls: tuple[Any, ...], cluster: str = "worker") -> None:
        lines = [
            f"async_task('apps.core.tests.queue_tasks.{name}', *{args!r}, cluster={cluster!r})" for name, *args in calls
        ]
        self.run_python("\n".join(["from django_q.tasks import async_task", *lines]))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def pid_in(self, name: str, *, seconds: float = 15.0) -> int:
        """The pid that a task wrote to the file `name`."""
        path = self.var_dir / name
        wait_for(path.exists, seconds=seconds, what=f"{name} to be written")
        return int(path.read_text())

    def path(self, name: str) -> str:
        return str(self.var_dir / name)


def python(program: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own, for what settings or imports decide once for a whole process."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def wait_for(condition: Callable[[], T], *, seconds: float = 15.0, what: str) -> T:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


def migrated(factory: pytest.TempPathFactory, name: str) -> Path:
    """A `var` folder of its own with a migrated database; every worker of a test run copies the same one."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "migrated").exists():
            made = Installation(shared / "migrating")
            made.var_dir.mkdir()
            result = made.manage("migrate", "--verbosity", "0")
            assert result.returncode == 0, result.stderr
            made.var_dir.rename(shared / "migrated")
    return shutil.copytree(shared / "migrated", factory.mktemp(name) / "var")


def alive(pid: int) -> bool:
    return process_key(pid) is not None


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, by asking each process for its parent."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, frontier = [], {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        found.extend(frontier)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def copied_installation(template: Path, folder: Path, **variables: str) -> Installation:
    shutil.copytree(template, folder)
    return Installation(folder, variables)
