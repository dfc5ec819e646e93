"""Finding the processes of one installation by a variable in their environment, wherever in the tree they hang."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_VARIABLE = "LLMOPT_RUN_ID"
ROLE_VARIABLE = "LLMOPT_ROLE"
# Training survives every other process; only `stop` and its own host end it.
SURVIVING_ROLE = "host"
_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessKey:
    """A pid with its start time in clock ticks: a pid alone is reused by strangers."""

    pid: int
    started: int


@dataclass(frozen=True)
class Found:
    key: ProcessKey
    role: str
    command: str


def process_key(pid: int) -> ProcessKey | None:
    """None when there is no such process, or only its exit code is left."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else ProcessKey(pid, int(fields[19]))


def processes_of(run_id: str) -> list[Found]:
    """Every live process started with LLMOPT_RUN_ID=`run_id`, except this one."""
    return processes_with(RUN_VARIABLE, run_id)


def processes_with(variable: str, value: str) -> list[Found]:
    """Every live process that was started with `variable` set to `value`, except this one; lowest pid first."""
    found = []
    for pid in sorted(_pids()):
        environment = environment_of(pid)
        key = process_key(pid)
        if key is None or pid == os.getpid() or environment.get(variable) != value:
            continue
        found.append(Found(key, environment.get(ROLE_VARIABLE, ""), _command(pid)))
    return found


def environment_of(pid: int) -> dict[str, str]:
    """What the process was started with; empty when it is gone or belongs to someone else."""
    try:
        content = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition(b"=") for item in content.split(b"\0") if b"=" in item)
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, _, value in pairs}


def kill_all(found: Iterable[Found], *, grace_seconds: float = 2.0) -> list[Found]:
    """Ask each process to end, kill those that are still there after `grace_seconds`. Returns those that were there."""
    alive = [process for process in found if send_signal(process.key, signal.SIGTERM)]
    deadline = time.monotonic() + grace_seconds
    left = alive
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if process_key(process.key.pid) == process.key]
    for process in left:
        send_signal(process.key, signal.SIGKILL)
    return alive


def send_signal(key: ProcessKey, number: int) -> bool:
    """Signal exactly this process. False when it is gone, whoever has its pid now."""
    if process_key(key.pid) != key:
        return False
    try:
        os.kill(key.pid, number)
    except ProcessLookupError:
        return False
    return True


def end_child(process: "subprocess.Popen[Any]", *, seconds: float = 15.0) -> None:
    """Ask a process that this one started to end; kill it when it has not after `seconds`."""
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir(_PROC) if entry.name.isdigit()]


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
