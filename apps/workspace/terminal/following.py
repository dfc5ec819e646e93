"""Showing a running quickstart in a terminal: bars with time left, or plain lines where there is no terminal."""

import time
from collections.abc import Callable
from typing import Any

from django.db import close_old_connections
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from apps.core.formats import duration_range_text
from apps.core.jobs import ENDED
from apps.core.models import JobStatus
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.progress import StepProgress, progress_of

POLL_SECONDS = 1.0
PLAIN_LINE_SECONDS = 10.0
STATES = {
    "waiting": gettext_lazy("waiting"),
    "failed": gettext_lazy("failed"),
    "cancelled": gettext_lazy("cancelled"),
    "paused": gettext_lazy("paused"),
}
# The training engine's phases, in the middle of a line.
PHASES = {
    "load": gettext_lazy("load"),
    "preflight": gettext_lazy("preflight"),
    "train": gettext_lazy("train"),
    "validate": gettext_lazy("validate"),
    "sample": gettext_lazy("sample"),
    "merge": gettext_lazy("merge"),
    "convert": gettext_lazy("convert"),
    "certify": gettext_lazy("certify"),
}


def span_text(seconds: float | None) -> str:
    """`48 s`, `6 min 05 s`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return _("%(seconds)d s") % {"seconds": whole}
    return _("%(minutes)d min %(seconds)s s") % {"minutes": whole // 60, "seconds": f"{whole % 60:02d}"}


def left_text(step: StepProgress) -> str:
    """Time left as a range, rounded outwards; empty when nothing is known yet."""
    if step.seconds_left_low is None or step.seconds_left_high is None:
        return ""
    return _("%(range)s left") % {"range": duration_range_text(step.seconds_left_low, step.seconds_left_high)}


def state_text(step: StepProgress) -> str:
    counted = f"{step.done}/{step.total}" if step.total else ""
    if step.state == "done":
        done = _("done in %(span)s") % {"span": span_text(step.seconds)}
        return f"{done}, {counted}" if counted else done
    if step.state == "running":
        running = _("running %(counted)s") % {"counted": counted} if counted else _("running")
        phase = str(PHASES.get(step.detail, step.detail))
        return " · ".join(part for part in (running, phase, left_text(step)) if part)
    return str(STATES.get(step.state, step.state))


def follow(
    quickstart: ExperimentRun, *, console: Console, still_wanted: Callable[[], bool], until_paused: bool = False
) -> ExperimentRun:
    """Show progress until the job has ended, was paused if that counts, or `still_wanted` says no. The fresh row."""
    show: Any = _Bars(console) if console.is_terminal else _Lines(console)
    with show:
        while True:
            close_old_connections()
            quickstart = ExperimentRun.objects.select_related("experiment", "training_run").get(pk=quickstart.pk)
            show.update(progress_of(quickstart))
            if quickstart.status in ENDED or (until_paused and is_paused(quickstart)) or not still_wanted():
                return quickstart
            time.sleep(POLL_SECONDS)


def is_paused(quickstart: ExperimentRun) -> bool:
    """Whether somebody paused it, or a job that it waits for: it then waits for somebody to resume that."""
    return JobStatus.PAUSED in {quickstart.status, *(part.status for part in quickstart.parts())}


class _Bars:
    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Bars":
        self.progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.progress.stop()

    def update(self, steps: list[StepProgress]) -> None:
        for step in steps:
            total = step.total or 1
            done = total if step.state == "done" else min(step.done, total - 1)
            if step.name not in self.tasks:
                self.tasks[step.name] = self.progress.add_task(step.label, total=total, state="")
            self.progress.update(self.tasks[step.name], completed=done, total=total, state=state_text(step))


class _Lines:
    def __init__(self, console: Console) -> None:
        self.console = console
        self.said: dict[str, str] = {}
        self.said_at = 0.0

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def update(self, steps: list[StepProgress]) -> None:
        now = time.monotonic()
        for step in steps:
            changed = self.said.get(step.name, "waiting") != step.state
            due = step.state == "running" and now - self.said_at >= PLAIN_LINE_SECONDS
            if changed or due:
                self.console.print(f"{step.label}: {state_text(step)}", highlight=False)
                self.said[step.name] = step.state
                self.said_at = now
