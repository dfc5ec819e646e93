"""On what, and how busy: facts that every figure needs beside it."""

import os
import platform
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> str:
    """Processes that want a core, over 1, 5 and 15 minutes. Above the number of cores, absolute figures mean little."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def facts() -> str:
    return f"{processor()}, {cores()} cores, Python {platform.python_version()}, load {load()}"
