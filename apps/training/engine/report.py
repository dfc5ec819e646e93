"""What the outside hears of a run: phases with their own seconds, progress at most every 2 s and at least every 4 s."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.training.engine.events import Event, EventLog, Log, Phase, PhaseName, Progress

_AT_MOST_EVERY = 2.0
_AT_LEAST_EVERY = 4.0


class Reporter:
    """Emits events of one process. A timer thread repeats the last progress (with fresh memory) through long calls."""

    def __init__(self, log: EventLog, *, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._open: list[PhaseName] = []
        self._inner: list[float] = []
        self._latest = Progress(phase="load")
        # When somebody last said how long the run still takes, and what; in between it is counted down.
        self._left: tuple[float, float, float] | None = None
        self._last_progress = float("-inf")
        self._done = threading.Event()
        self._lock = threading.Lock()
        # The first phase begins with the process: opening the libraries takes seconds, and belongs to the run.
        self._begun: float | None = clock()
        self.phase_seconds: dict[str, float] = {}
        self._timer = threading.Thread(target=self._repeat, name="progress-timer", daemon=True)
        self._timer.start()

    def emit(self, event: Event) -> None:
        self._log.emit(event)

    def warn(self, text: str) -> None:
        self.emit(Log(level="warning", text=text))

    def info(self, text: str) -> None:
        self.emit(Log(level="info", text=text))

    @contextmanager
    def phase(self, name: PhaseName) -> Iterator[None]:
        """One phase from start to finish. The seconds of a phase inside another are not counted twice."""
        outer = self._latest
        self._open.append(name)
        self._inner.append(0.0)
        begin, self._begun = self._clock() if self._begun is None else self._begun, None
        self.emit(Phase(phase=name, state="started"))
        self.progress(Progress(phase=name), force=True)
        try:
            yield
        finally:
            whole = self._clock() - begin
            own = whole - self._inner.pop()
            self._open.pop()
            if self._inner:
                self._inner[-1] += whole
                self._latest = outer
            self.phase_seconds[name] = self.phase_seconds.get(name, 0.0) + own
            self.emit(Phase(phase=name, state="finished", seconds=round(own, 3)))

    def progress(self, progress: Progress, *, force: bool = False) -> None:
        with self._lock:
            self._latest = progress
            if progress.seconds_left_low is not None and progress.seconds_left_high is not None:
                self._left = self._clock(), progress.seconds_left_low, progress.seconds_left_high
            if force or self._clock() - self._last_progress >= _AT_MOST_EVERY:
                self._send()

    def close(self) -> None:
        self._done.set()
        self._timer.join()

    def _send(self) -> None:
        self._last_progress = self._clock()
        low, high = self._seconds_left()
        self._log.emit(
            dataclasses.replace(self._latest, memory_mib=memory_mib(), seconds_left_low=low, seconds_left_high=high)
        )

    def _seconds_left(self) -> tuple[float | None, float | None]:
        """What was said last, less the time since; unknown once even the longer time is over."""
        if self._left is None:
            return None, None
        at, low, high = self._left
        passed = self._clock() - at
        if passed >= high:
            return None, None
        return round(max(0.0, low - passed), 1), round(high - passed, 1)

    def _repeat(self) -> None:
        while not self._done.wait(0.5):
            with self._lock:
                if self._clock() - self._last_progress >= _AT_LEAST_EVERY:
                    self._send()


def memory_mib() -> int:
    """Resident memory of this process in MiB."""
    return _status_mib("VmRSS")


def peak_memory_mib() -> int:
    """Highest resident memory of this process so far in MiB."""
    return _status_mib("VmHWM")


def reset_peak_memory() -> None:
    """Let ``peak_memory_mib`` count from now on, where the system allows it; else it goes on from the start."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def free_memory() -> None:
    """Return unused memory to the system (glibc keeps it otherwise): what comes next may need it."""
    import ctypes
    import gc

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status_mib(name: str) -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak / (1024 * 1024 if sys.platform == "darwin" else 1024))
    for line in status.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) // 1024
    return 0
