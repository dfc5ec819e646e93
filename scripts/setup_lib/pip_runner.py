"""Run pip and turn what it prints into progress.

pip says which package it fetches and how far a download is, then is silent while it installs; meanwhile the
`*.dist-info` folders that appear in the environment are counted.
"""

import os
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .console import Phase
from .dependencies import normalised

FETCHED = re.compile(
    r"\s*(?:Downloading|Using cached|Processing)\s+(?:\S*/)?([A-Za-z0-9_.]+?)-\d\S*\.(?:whl|tar\.gz)(?=\s|$)"
)
SATISFIED = re.compile(r"Requirement already satisfied: ([A-Za-z0-9._-]+)")
COLLECTING = re.compile(r"Collecting ([A-Za-z0-9._-]+)")
BYTES = re.compile(r"Progress (\d+) of (\d+)")
INSTALLING = re.compile(r"Installing collected packages: (.*)")
UNREACHABLE = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|Failed to establish|Max retries|ConnectionReset|ProxyError"
    "|SSLError|Could not fetch URL|connection broken"
)
# Said once per package about an index folder that lacks it; it would bury the rest of the log.
NOISE = re.compile(r"WARNING: Location .* is ignored")
TICK_SECONDS = 0.5
KEPT_LINES = 400


@dataclass
class PipRun:
    """What a run of pip said: its exit status, its last lines, and the packages that it listed."""

    status: int = 0
    lines: list[str] = field(default_factory=list)
    stopped_at: str = ""

    @property
    def unreachable(self) -> bool:
        return any(UNREACHABLE.search(line) for line in self.lines)

    def errors(self, count: int = 4) -> list[str]:
        """The lines that say why it failed, the last ones first to be trusted."""
        found = [line for line in self.lines if line.startswith("ERROR") or "error:" in line.lower()]
        return (found or self.lines)[-count:]


class Progress:
    """Counts what is fetched and what is installed, and shows both on the lines of their phases."""

    def __init__(self, *, name: str, total: int, site_packages: Path) -> None:
        self.phase = Phase(name, total)
        self.total = total
        self.site_packages = site_packages
        self.fetched: set[str] = set()
        self.note = ""
        self.installing = False
        self.present_before = 0

    def read(self, line: str) -> None:
        if match := BYTES.match(line):
            done, total = int(match.group(1)), int(match.group(2))
            self.note = f"{self.note.split(' (')[0]} ({done / 1e6:.0f} of {total / 1e6:.0f} MB)"
        elif match := FETCHED.match(line):
            # With an index that serves metadata on its own, a name is seen once before its wheel is fetched.
            self.fetched.add(normalised(match.group(1)))
            self.note = match.group(1)
        elif match := SATISFIED.match(line):
            self.fetched.add(normalised(match.group(1)))
        elif match := COLLECTING.match(line):
            self.note = match.group(1)
        elif match := INSTALLING.match(line):
            self.start_installing(len(match.group(1).split(", ")))

    def start_installing(self, count: int) -> None:
        self.phase.update(self.total)
        self.phase.close(f"{count} to install")
        self.present_before = self.present()
        self.phase = Phase("Install", count)
        self.installing = True

    def present(self) -> int:
        return sum(1 for _ in self.site_packages.glob("*.dist-info"))

    def tick(self) -> None:
        if self.installing:
            self.phase.update(max(0, self.present() - self.present_before))
        else:
            self.phase.update(len(self.fetched), self.note)

    def close(self, *, ok: bool) -> None:
        if ok:
            self.phase.update(self.phase.total)
        self.phase.close("done" if ok else "failed")


def run_pip(
    arguments: list[str],
    *,
    python: Path,
    log: Path,
    progress: Progress | None = None,
    stop_at: Callable[[str], bool] | None = None,
    environment: dict[str, str] | None = None,
) -> PipRun:
    """Run `python -m pip ARGUMENTS`, append its output to the log and follow its progress.

    stop_at is asked about each line; once it says yes, pip is interrupted and the line is kept in `stopped_at`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    run = PipRun()
    with log.open("a", encoding="utf-8") as written:
        written.write(f"$ pip {' '.join(arguments)}\n")
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        try:
            for line in lines_of(child, tick=progress.tick if progress else None):
                if not line.startswith("Progress ") and not NOISE.match(line):
                    written.write(line + "\n")
                    run.lines = [*run.lines[-KEPT_LINES:], line]
                if progress:
                    progress.read(line)
                if stop_at and not run.stopped_at and stop_at(line):
                    run.stopped_at = line
                    child.terminate()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    run.status = child.wait()
    return run


def lines_of(child: "subprocess.Popen[str]", *, tick: Callable[[], None] | None) -> Iterator[str]:
    """Yield the child's lines as they come, and call tick about twice a second in between."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def pump() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=TICK_SECONDS)
        except queue.Empty:
            if tick:
                tick()
            continue
        if line is None:
            return
        yield line
        if tick:
            tick()
