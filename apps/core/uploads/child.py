"""Working on a hostile file in a process of its own, with limits on memory, time and what it may write."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from django.conf import settings

from apps.core.processes.parent import PARENT_VARIABLE
from apps.core.processes.tree import ROLE_VARIABLE, RUN_VARIABLE

BEAT_SECONDS = 0.5
_MIB = 1024 * 1024
# How a process ended: by itself (whatever its exit status), at one of its limits, or because it was told to.
How = Literal["exited", "memory", "time", "size", "stopped"]


@dataclass(frozen=True)
class Limits:
    """Address space, processor seconds, the largest file written, and seconds by the clock on the wall."""

    memory_bytes: int = 2048 * _MIB
    cpu_seconds: int = 120
    file_bytes: int = 512 * _MIB
    wall_seconds: float = 150.0


@dataclass(frozen=True)
class Ended:
    how: How
    status: int
    # The end of what it printed, for the log.
    output: str


def run_confined(command: Sequence[str], *, folder: Path, limits: Limits, beat: Callable[[], bool]) -> Ended:
    """Run `python -m <command>` on `folder` and wait. `beat` is called twice a second; False ends the process.

    The process gets none of this one's environment but where programs are and whose child it is: no secret can leak
    through it. It is killed when this process dies.
    """
    log = folder / "output.log"
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "apps.core.uploads.confined", _limits_text(limits), *command],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(folder),
        )
        try:
            how = _wait(process, until=started + limits.wall_seconds, beat=beat)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    text = _tail(log)
    return Ended(how if how != "exited" else _how(process.returncode, text), process.returncode, text)


def _wait(process: "subprocess.Popen[bytes]", *, until: float, beat: Callable[[], bool]) -> How:
    while True:
        try:
            process.wait(timeout=BEAT_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                return "time"
            if not beat():
                return "stopped"
        else:
            return "exited"


def _limits_text(limits: Limits) -> str:
    return f"{limits.memory_bytes},{limits.cpu_seconds},{limits.file_bytes}"


def _environment(folder: Path) -> dict[str, str]:
    passed = {name: os.environ[name] for name in ("PATH", "LANG", RUN_VARIABLE, ROLE_VARIABLE) if name in os.environ}
    # One thread and the system's allocator: pools that reserve address space ahead would meet the limit without need.
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    own = {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONUTF8": "1", PARENT_VARIABLE: str(os.getpid())}
    return {**passed, **quiet, **own}


def _how(status: int, output: str) -> How:
    """Which limit a process met that ended by itself."""
    if status == -24:  # SIGXCPU
        return "time"
    if "File too large" in output:
        return "size"
    # What cannot allocate raises, aborts or is killed.
    if status != 0 and (status in (-6, -9, -11) or "MemoryError" in output or "bad_alloc" in output):
        return "memory"
    return "exited"


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        return file.read().decode("utf-8", "replace")
