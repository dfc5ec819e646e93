"""How long counted work still takes, at the pace that it has had so far."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Around a pace of the past: what is left may be lighter or heavier, and the machine may do other things meanwhile.
LOW, HIGH = 0.8, 1.4
# Fields of a job row: two floats, or two of None.
_Left = dict[str, Any]
UNKNOWN: _Left = {"seconds_left_low": None, "seconds_left_high": None}


def seconds_left(*, done: float, left: float, seconds: float) -> _Left:
    """A job's fields for `left` units, after `done` units took `seconds`; unknown before the first one."""
    if done <= 0 or seconds <= 0 or left < 0:
        return dict(UNKNOWN)
    expected = seconds / done * left
    return {"seconds_left_low": LOW * expected, "seconds_left_high": HIGH * expected}


@dataclass
class PhasePace:
    """Time left of the phase at work, from what was counted since it was first seen: each counts in its own unit."""

    clock: Callable[[], float] = time.monotonic
    _phase: str = ""
    _seen: tuple[float, int] = field(default=(0.0, 0))

    def left(self, *, phase: str, done: int, total: int) -> _Left:
        now = self.clock()
        if phase != self._phase or done < self._seen[1]:
            self._phase, self._seen = phase, (now, done)
        began, before = self._seen
        return seconds_left(done=done - before, left=total - done if total else -1, seconds=now - began)
