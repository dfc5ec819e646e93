"""Where a run stands, as lines of JSON in `events.jsonl`."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

Phase = Literal["reading", "comparing", "counting", "writing"]
EVERY_SECONDS = 0.5


class Events:
    """Appends {"phase", "done", "total", "rows"} at most twice a second, and once at the end of each phase."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = path.open("ab", buffering=0)
        self._clock = clock
        self._next = 0.0

    def at(self, phase: Phase, done: int, total: int, *, rows: int = 0, last: bool = False) -> None:
        if last or self._clock() >= self._next:
            self._next = self._clock() + EVERY_SECONDS
            event = {"phase": phase, "done": done, "total": total, "rows": rows}
            self._file.write(msgspec.json.encode(event) + b"\n")

    def __enter__(self) -> "Events":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
