"""Which workers of a cluster are inside a task, and until when they may be. Files, so that the watchdog can see them.

A full cluster answers no question and is healthy; an idle one that does not answer is stuck. Nothing else tells them
apart.
"""

import os
import time
from pathlib import Path

from apps.core.processes.tree import process_key


def directory(var_dir: Path, cluster: str) -> Path:
    return var_dir / "run" / "busy" / cluster


def clear(var_dir: Path, cluster: str) -> None:
    """Forget the workers of an earlier cluster."""
    folder = directory(var_dir, cluster)
    folder.mkdir(parents=True, exist_ok=True)
    for mark in folder.iterdir():
        mark.unlink(missing_ok=True)


def mark(var_dir: Path, cluster: str, *, seconds: float) -> None:
    """This worker began a task that may take `seconds`."""
    path = directory(var_dir, cluster) / str(os.getpid())
    path.touch()
    # Of the clock that all processes share and nobody sets: by the other one, a full cluster would look idle.
    until = time.monotonic() + seconds
    os.utime(path, (until, until))


def unmark(var_dir: Path, cluster: str) -> None:
    (directory(var_dir, cluster) / str(os.getpid())).unlink(missing_ok=True)


def count(var_dir: Path, cluster: str) -> int:
    """Workers that are alive, inside a task, and within its time."""
    folder, now, busy = directory(var_dir, cluster), time.monotonic(), 0
    if not folder.exists():
        return 0
    for path in folder.iterdir():
        try:
            in_time = path.stat().st_mtime > now
        except FileNotFoundError:
            continue  # the task ended while we looked
        busy += bool(in_time and process_key(int(path.name)))
    return busy
