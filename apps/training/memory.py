"""How much memory a process started now may take."""

from pathlib import Path

_MIB = 2**20


def available_mib() -> float:
    """What the machine has to give, or what is left of this process's own group where that is less."""
    free = _machine_bytes()
    group = Path("/sys/fs/cgroup")
    limit = _number(group / "memory.max")
    if limit is not None:
        free = min(free, limit - (_number(group / "memory.current") or 0))
    return max(0, free) / _MIB


def _machine_bytes() -> int:
    path = Path("/proc/meminfo")
    if path.is_file():
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _number(path: Path) -> int | None:
    text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
    return int(text) if text.isdecimal() else None
