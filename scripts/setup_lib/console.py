"""Plain terminal output: one line per phase, with a bar and the elapsed time, with or without a terminal."""

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

BAR_WIDTH = 24
SECONDS_BETWEEN_LINES = 10.0


def say(text: str) -> None:
    print(text, flush=True)


def can_ask() -> bool:
    """Whether a person is there to answer: a terminal at both ends, and not a headless run."""
    return not os.environ.get("HEADLESS") and not os.environ.get("CI") and sys.stdin.isatty() and sys.stdout.isatty()


def clock_text(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def bar(done: int, total: int) -> str:
    filled = BAR_WIDTH if total <= 0 else min(BAR_WIDTH, BAR_WIDTH * done // total)
    return "[" + "#" * filled + "." * (BAR_WIDTH - filled) + "]"


class Phase:
    """One step of the set-up. On a terminal its line is rewritten; elsewhere a new line appears every ten seconds."""

    def __init__(
        self, name: str, total: int = 0, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.stream = stream or sys.stdout
        self.clock = clock
        self.started = clock()
        self.rewrites = self.stream.isatty()
        self.last_line_at = self.started
        self.last_width = 0
        self.closed = False
        if self.rewrites:
            self.show("")
        else:
            self.write(f"  {self.name:<11} started")

    def write(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()

    def line(self, note: str) -> str:
        counted = f"{bar(self.done, self.total)} {self.done:>3}/{self.total}" if self.total else ""
        elapsed = clock_text(self.clock() - self.started)
        return "  " + "  ".join(part for part in (f"{self.name:<11}", counted, f"{elapsed:>5}", note) if part)

    def show(self, note: str) -> None:
        """Bring the line up to date with what is known now."""
        if self.rewrites:
            text = self.line(note)[:118]
            self.stream.write("\r" + text.ljust(self.last_width))
            self.stream.flush()
            self.last_width = len(text)
        elif self.clock() - self.last_line_at >= SECONDS_BETWEEN_LINES:
            self.last_line_at = self.clock()
            self.write(self.line(note))

    def update(self, done: int, note: str = "") -> None:
        self.done = min(done, self.total) if self.total else done
        self.show(note)

    def close(self, summary: str = "done") -> None:
        """Leave a last line behind. A second call changes nothing."""
        if self.closed:
            return
        self.closed = True
        text = self.line(summary)
        self.write(("\r" + text.ljust(self.last_width)) if self.rewrites else text)
