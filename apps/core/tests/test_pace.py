"""Time left follows from what was counted, in the phase that counts it."""

import pytest

from apps.core.pace import UNKNOWN, PhasePace, seconds_left


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_takes_as_long_as_what_is_done_within_a_range() -> None:
    found = seconds_left(done=10, left=20, seconds=30)
    assert found == {"seconds_left_low": pytest.approx(48), "seconds_left_high": pytest.approx(84)}
    assert seconds_left(done=10, left=0, seconds=30) == {"seconds_left_low": 0, "seconds_left_high": 0}


def test_before_the_first_unit_nothing_is_known_and_never_is_it_negative() -> None:
    assert seconds_left(done=0, left=20, seconds=30) == UNKNOWN
    assert seconds_left(done=3, left=-1, seconds=30) == UNKNOWN


def test_each_phase_has_a_pace_of_its_own() -> None:
    clock = Clock()
    pace = PhasePace(clock)
    assert pace.left(phase="reading", done=0, total=100) == UNKNOWN
    clock.now += 10
    assert pace.left(phase="reading", done=50, total=100)["seconds_left_high"] == pytest.approx(14)
    assert pace.left(phase="writing", done=5, total=100) == UNKNOWN
    clock.now += 1
    assert pace.left(phase="writing", done=15, total=100)["seconds_left_high"] == pytest.approx(1.4 * 8.5)
    assert pace.left(phase="writing", done=15, total=0) == UNKNOWN
