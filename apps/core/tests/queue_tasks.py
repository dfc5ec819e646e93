"""Tasks for tests that run a real queue cluster."""

import os
import time
from pathlib import Path

from apps.core.processes import stopping


def note_pid(path: str) -> None:
    """Write this worker's pid to `path`, which appears whole."""
    partial = Path(f"{path}.partial")
    partial.write_text(str(os.getpid()))
    partial.replace(path)


def note_pid_and_work(path: str, seconds: float) -> None:
    """As note_pid, then stay busy until told to stop."""
    note_pid(path)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stopping.requested():
        time.sleep(0.05)
    note_pid(f"{path}.ended")
