"""Memory of this process, and giving it back to the operating system."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path


def release() -> None:
    """Collect garbage and return free heap pages; without this the C library keeps an unloaded model's memory."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent from musl
        if trim is not None:
            trim(0)


def pss_mib() -> float | None:
    """Proportional set size in MiB; None where the kernel does not tell."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return None
