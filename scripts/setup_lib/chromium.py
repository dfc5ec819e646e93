"""The browser that the page tests drive: found, or installed from Debian's packages where that is possible."""

import os
import shutil
import subprocess
from pathlib import Path

from .console import Phase
from .errors import SetupError

MISSING = (
    "The browser tests need Chromium, and none was found. Debian and Ubuntu: sudo apt-get install chromium. "
    "Elsewhere: install Chromium or Chrome and set LLMOPT_CHROMIUM to its path."
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    """The path of a Chromium, or an empty string. LLMOPT_CHROMIUM names one that is not on the PATH."""
    named = os.environ.get("LLMOPT_CHROMIUM", "")
    if named:
        return named if Path(named).exists() else ""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    return ""


def ensure_chromium(*, log: Path) -> str:
    """The path of a Chromium; installs one as root with apt-get. Raises SetupError where that cannot be done."""
    found = find_chromium()
    if found:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError(MISSING)
    phase = Phase("Chromium")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as written:
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                env=environment,
                check=False,
            )
    found = find_chromium()
    if done.returncode or not found:
        phase.close("failed")
        raise SetupError(f"Chromium could not be installed with apt-get (exit {done.returncode}). The log: {log}")
    phase.close(found)
    return found
