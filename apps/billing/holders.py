"""Naming the process that makes a call, and finding out that it is dead."""

import functools
import os
import socket

from apps.core.processes.tree import process_key


def this_process() -> str:
    """`host:pid:start` of this process; right also in a forked child."""
    return _name(os.getpid())


@functools.lru_cache(maxsize=4)
def _name(pid: int) -> str:
    # Clock ticks since the machine started: a start time in seconds moves when somebody sets the clock.
    key = process_key(pid)
    return f"{socket.gethostname()}:{pid}:{key.started if key else 0}"


def is_dead(holder: str) -> bool:
    """True only for a process of this machine that provably runs no more."""
    named, _, start = holder.rpartition(":")
    host, _, pid = named.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    key = process_key(int(pid))
    return key is None or str(key.started) != start
