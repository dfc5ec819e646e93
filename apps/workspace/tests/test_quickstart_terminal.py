"""What the terminal says of a running quickstart: never more than is done."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from apps.core.models import JobStatus
from apps.core.tests.factories import QuickstartFactory, run_definition
from apps.workspace.quickstart.progress import StepProgress, progress_of
from apps.workspace.quickstart.steps import STEPS
from apps.workspace.terminal import following
from apps.workspace.terminal.following import follow, left_text, span_text, state_text


def step(**changes: Any) -> StepProgress:
    values: dict[str, Any] = {
        "name": "train", "label": "Fine-tune the model", "state": "running", "seconds": 61.0, "done": 3, "total": 9,
        "seconds_left_low": None, "seconds_left_high": None,
    }  # fmt: skip
    return StepProgress(**{**values, **changes})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (365, "6 min 05 s"),
        (7322, "122 min 02 s"),
    ],
)
def test_a_span_is_said_in_minutes_and_seconds(seconds: float | None, text: str) -> None:
    assert span_text(seconds) == text


def test_time_left_is_a_range_or_nothing() -> None:
    assert left_text(step()) == ""
    assert left_text(step(seconds_left_low=10.0)) == ""
    assert left_text(step(seconds_left_low=40.0, seconds_left_high=75.0)) == "40–75 s left"
    assert left_text(step(seconds_left_low=10.1, seconds_left_high=10.2)) == "10–11 s left"


def test_a_state_says_what_is_done_and_what_is_left() -> None:
    left = {"seconds_left_low": 4.0, "seconds_left_high": 8.0}
    assert state_text(step(detail="validate", **left)) == "running 3/9 · validate · 4–8 s left"
    assert state_text(step(total=0, done=0)) == "running"
    assert state_text(step(state="done")) == "done in 1 min 01 s, 3/9"
    assert state_text(step(state="waiting")) == "waiting"
    assert state_text(step(state="failed")) == "failed"


def bars(*updates: list[StepProgress]) -> list[Any]:
    shown = following._Bars(Console(file=io.StringIO(), force_terminal=True))
    for update in updates:
        shown.update(update)
    return list(shown.progress.tasks)


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from(["waiting", "running", "failed"]))
def test_no_bar_is_full_while_work_remains(done: int, total: int, state: str) -> None:
    (bar,) = bars([step(done=done, total=total, state=state)])
    assert bar.percentage < 100
    assert not bar.finished


def test_a_bar_is_full_when_its_step_is_done_whatever_was_counted() -> None:
    for done, total in ((9, 9), (0, 0), (5, 9)):
        (bar,) = bars([step(done=done, total=total)], [step(done=done, total=total, state="done")])
        assert bar.percentage == 100


def said(*updates: list[StepProgress]) -> list[str]:
    output = io.StringIO()
    shown = following._Lines(Console(file=output, width=160))
    for update in updates:
        shown.update(update)
    return output.getvalue().splitlines()


def test_without_a_terminal_each_change_is_a_line_and_nothing_is_said_twice() -> None:
    waiting, running, done = (step(state=state) for state in ("waiting", "running", "done"))
    assert said([waiting], [waiting], [running], [running], [done], [done]) == [
        "Fine-tune the model: running 3/9",
        "Fine-tune the model: done in 1 min 01 s, 3/9",
    ]


def test_without_a_terminal_a_long_step_is_heard_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(following.time, "monotonic", lambda: now[0])
    output = io.StringIO()
    shown = following._Lines(Console(file=output, width=160))
    for second in range(25):
        now[0] = 100.0 + second
        shown.update([step(done=second, total=99)])
    assert len(output.getvalue().splitlines()) == 3


@pytest.mark.django_db
def test_following_ends_with_the_job_and_with_whoever_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "close_old_connections", lambda: None)
    monkeypatch.setattr(following.time, "sleep", lambda _seconds: None)
    console = Console(file=io.StringIO(), width=160)
    ended = QuickstartFactory.create(status=JobStatus.SUCCEEDED)
    assert follow(ended, console=console, still_wanted=lambda: True).status == JobStatus.SUCCEEDED
    running = QuickstartFactory.create(status=JobStatus.RUNNING)
    looks = iter([True, True, False])
    assert follow(running, console=console, still_wanted=lambda: next(looks)).status == JobStatus.RUNNING


@pytest.mark.django_db
def test_every_step_is_listed_from_the_beginning_as_waiting() -> None:
    shown = progress_of(QuickstartFactory.create(definition=run_definition(draw_seeds=[1, 2])))
    # Nothing is brought in, and no provider is asked.
    assert [item.name for item in shown] == [item.name for item in STEPS if item.name not in ("model", "commercial")]
    assert {item.state for item in shown} == {"waiting"}
    assert next(item for item in shown if item.name == "choose").total == 4


@pytest.mark.django_db
def test_a_failed_quickstart_shows_the_step_that_failed() -> None:
    times = {"import": {"started": "2026-11-24T10:00:00+00:00", "finished": "2026-11-24T10:00:02+00:00"},
             "define": {"started": "2026-11-24T10:00:02+00:00"}}  # fmt: skip
    quickstart = QuickstartFactory.create(
        status=JobStatus.FAILED, facts={"steps": times},
        definition=run_definition(),
    )  # fmt: skip
    shown = progress_of(quickstart)
    assert [item.state for item in shown[:3]] == ["done", "failed", "waiting"]
    assert shown[0].seconds == 2.0
