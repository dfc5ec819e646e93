"""Settings that are read while Django starts must be in the environment before it does."""

import os
import sys


def restart_with(**variables: str) -> None:
    """Start this same command again with `variables` set; returns at once when they are already.

    The queue library reads its cluster's name, and our settings read the role, when they are imported: too late for a
    command that has begun. The process keeps its pid and its parent.
    """
    if all(os.environ.get(name) == value for name, value in variables.items()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **variables})  # noqa: S606  # our own command line
