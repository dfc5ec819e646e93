"""Dying on purpose, for tests that kill a process at a named point of its work.

LLMOPT_FAULT=name or name:n makes the n-th passing of that point (default 1) kill this process with SIGKILL, provided
that LLMOPT_FAULT_DIR has no marker of an earlier death there. Without LLMOPT_FAULT a point does nothing.
"""

import os
import signal
from pathlib import Path

_passings: dict[str, int] = {}


def fault_point(name: str) -> None:
    """Die here if the environment asks for it, once."""
    wanted = os.environ.get("LLMOPT_FAULT")
    if not wanted:
        return
    wanted_name, _, wanted_passing = wanted.partition(":")
    if wanted_name != name:
        return
    _passings[name] = _passings.get(name, 0) + 1
    if _passings[name] >= int(wanted_passing or 1) and _leave_marker(Path(os.environ["LLMOPT_FAULT_DIR"]) / name):
        os.kill(os.getpid(), signal.SIGKILL)


def _leave_marker(marker: Path) -> bool:
    """True for the one process that was first to create the marker."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
