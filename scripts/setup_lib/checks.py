"""What is looked at before anything is downloaded: place, disk, memory, port. About a tenth of a second."""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from .errors import SetupError

MEMORY_ADVISED_GIB = 4.0
PORTS_TRIED = 50
# What the server reads as yes in its settings.
TRUE = {"1", "true", "yes", "on", "y", "ok"}


def nearest(folder: Path) -> Path:
    """The folder, or what there is of the way to it: it need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return folder


def free_disk_gb(folder: Path) -> float:
    """Free disk in GB (10^9 bytes) at an existing folder."""
    return shutil.disk_usage(folder).free / 1e9


def device_of(folder: Path) -> int:
    return folder.stat().st_dev


def disk_check(needed_gb: Mapping[Path, float]) -> str:
    """A sentence on the free disk at folders that may share one. Raises SetupError where it cannot be enough."""
    disks: dict[int, tuple[Path, float]] = {}
    for folder, needed in needed_gb.items():
        place = nearest(folder)
        device = device_of(place)
        first, others = disks.get(device, (place, 0.0))
        disks[device] = (first, others + needed)
    said = []
    for place, needed in disks.values():
        free = free_disk_gb(place)
        if free < needed:
            raise SetupError(
                f"{free:.1f} GB are free at {place}, and {needed:.1f} GB are needed. Free some space, clone the "
                "repository onto a larger disk, or set LLMOPT_VAR_DIR to a folder on one."
            )
        where = f" at {place}" if len(disks) > 1 else ""
        said.append(f"disk{where}: {free:.0f} GB free, {needed:.1f} GB needed")
    return " · ".join(said)


def path_check(*folders: Path) -> None:
    """Refuse a place that the process supervisor cannot be told: in its configuration the rest would be a comment."""
    for folder in folders:
        if re.search(r"\s[#;]", str(folder)):
            raise SetupError(
                f"{folder} has a space before # or ; in its name, which the process supervisor takes for the start of "
                "a comment. Rename the folder, or set LLMOPT_VAR_DIR to another if it is the one for data."
            )


def database_check() -> None:
    """Refuse a start that would be refused after the whole set-up: it brings a database of its own."""
    if os.environ.get("DATABASE_URL") and os.environ.get("LLMOPT_EMBEDDED", "").lower() not in TRUE:
        raise SetupError(
            "DATABASE_URL is set, and this starts an installation with a database of its own (SQLite). Unset it "
            'here and in .env, or start the processes yourself: "Several machines" in docs/operations.md.'
        )


def available_memory_gib() -> float | None:
    """Memory that new processes can have, in GiB; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return min(int(line.split()[1]) / 2**20, control_group_limit_gib())
    return None


def control_group_limit_gib() -> float:
    """The memory limit of the container that this runs in; infinite where there is none."""
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return float("inf") if text == "max" else int(text) / 2**30


def memory_check() -> str:
    """A sentence on the free memory; too little is a warning, since another program may end in the meantime."""
    available = available_memory_gib()
    if available is None:
        return f"memory: not known here; {MEMORY_ADVISED_GIB:.0f} GiB free are advised"
    if available < MEMORY_ADVISED_GIB:
        return (
            f"memory: only {available:.1f} GiB free; {MEMORY_ADVISED_GIB:.0f} GiB are advised. "
            "Training may be slow or be stopped by the system: close what you can."
        )
    return f"memory: {available:.1f} GiB free"


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1 at this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A server may start over the remains of closed connections; without this the probe would refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wanted_port() -> int:
    text = os.environ.get("LLMOPT_PORT", "") or "8000"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SetupError(f"LLMOPT_PORT is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def choose_port(wanted: int) -> tuple[int, str]:
    """The wanted port or the next free one, and a sentence that says which."""
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        if port_is_free(port):
            said = f"port: {port}" if port == wanted else f"port: {wanted} is taken, so {port} is used"
            return port, said
    raise SetupError(f"No free port from {wanted} to {wanted + PORTS_TRIED - 1}. Set LLMOPT_PORT to a free one.")
