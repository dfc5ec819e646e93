"""Naming the process that makes a call, and finding out that it is dead."""

import functools
import os
import socket

import psutil

# The kernel's clock ticks and a corrected wall clock let two readings of one start time differ a little.
START_TOLERANCE_SECONDS = 2.0


def this_process() -> str:
    """`host:pid:start` of this process; right also in a forked child."""
    return _name(os.getpid())


@functools.lru_cache(maxsize=4)
def _name(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.2f}"


def is_dead(holder: str) -> bool:
    """True only for a process of this machine that provably runs no more."""
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    pid, start = rest, holder.rpartition(":")[2]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(start)) > START_TOLERANCE_SECONDS:
            return True
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
