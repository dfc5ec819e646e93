"""Reads of training runs: the run, its phases, its series and its samples."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from django.db.models import Avg, F, IntegerField, Max, OuterRef, Subquery, Value
from django.db.models.functions import Cast, Floor
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core.access import fetch_for_user
from apps.core.models import JobStatus
from apps.core.textdiff import field_differences
from apps.training import workdir
from apps.training.models import MetricPoint, SampleOutput, TrainingRun

MOST_POINTS = 500
MOST_EVENTS = 500
SAMPLES = 3
PHASES: dict[str, Promise] = {
    "load": _("Load the model"),
    "preflight": _("Check and time"),
    "train": _("Train"),
    "validate": _("Validate"),
    "sample": _("Write samples"),
    "merge": _("Merge"),
    "convert": _("Convert for serving"),
    "certify": _("Compare with serving"),
}
PREFLIGHT_PHASES: dict[str, Promise] = {
    "rows": _("Read the rows"),
    "load": _("Load the model"),
    "preflight": _("Time real steps"),
}


@dataclass(frozen=True)
class Series:
    """One metric over steps, at most MOST_POINTS of them; `every` is how many steps one point stands for."""

    name: str
    steps: list[int]
    values: list[float]
    every: int = 1

    @property
    def last(self) -> float | None:
        return self.values[-1] if self.values else None


def training_run(*, user: Any, uid: Any, team: Any = None) -> TrainingRun:
    """One run by its public id; with `team`, only there."""
    lookup = {"uid": uid, **({"team": team} if team is not None else {})}
    found: TrainingRun = fetch_for_user(TrainingRun, user, **lookup)
    related = ("team", "base_model", "language_model", "dataset_version__dataset", "prompt_version__prompt")
    return TrainingRun.objects.for_user(user).select_related(*related).get(pk=found.pk)


# Of the machine, and of no use to whoever reads a run from elsewhere.
_OWN_FIELDS = frozenset({"pid", "result"})


def engine_events(run: TrainingRun, *, after: int) -> tuple[list[dict[str, Any]], int]:
    """At most MOST_EVENTS of the engine's events behind position `after`, and the position behind them.

    They lie on the machine that trains; another one knows none.
    """
    found, end = workdir.new_events(workdir.run_dir(run), after)
    if len(found) > MOST_EVENTS:
        found, end = workdir.some_events(workdir.run_dir(run), after, MOST_EVENTS)
    return [{name: value for name, value in event.items() if name not in _OWN_FIELDS} for event in found], end


def phase_stages(run: TrainingRun) -> list[dict[str, Any]]:
    """Every phase in the order of the work, with elapsed seconds; one that is under way counts up to now."""
    found = {phase["name"]: phase for phase in run.phases}
    names = [*PHASES, *(name for name in found if name not in PHASES)]
    return [_stage(name, found.get(name), run) for name in names]


@dataclass(frozen=True)
class RunProgress:
    """How far a run is: steps while it trains and when it has ended, else what the phase at work counts."""

    done: int
    total: int | None
    steps: bool
    memory_mib: float | None
    memory_is_peak: bool


def run_progress(run: TrainingRun) -> RunProgress:
    """The phases after training count their own work; a finished run is told by its steps and its peak memory."""
    step, peak = run.result.get("step"), run.result.get("peak_memory_mib")
    if run.status == JobStatus.SUCCEEDED and step is not None:
        return RunProgress(step, step, True, peak or run.memory_mib, peak is not None)
    return RunProgress(run.done, run.total or None, run.phase in ("", "train"), run.memory_mib, False)


def _stage(name: str, phase: dict[str, Any] | None, run: TrainingRun) -> dict[str, Any]:
    label = str(PHASES.get(name, name))
    if phase is None:
        ended = run.status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUCCEEDED)
        return {"label": label, "state": "skipped" if ended else "waiting", "seconds": None}
    at_work = phase["state"] == "started"
    seconds = float(phase["seconds"])
    if at_work and run.status == JobStatus.RUNNING:
        seconds += max(0.0, (timezone.now() - _moment(phase["started_at"])).total_seconds())
    state = _state_at_work(run) if at_work else "succeeded"
    return {"label": label, "state": state, "seconds": seconds}


def _state_at_work(run: TrainingRun) -> str:
    """The state of a phase that began and was not reported as finished."""
    if run.status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUCCEEDED):
        return str(run.status)
    return "running" if run.status == JobStatus.RUNNING else "paused"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def series(run: TrainingRun, name: str) -> Series:
    """A metric's points; more than MOST_POINTS are averaged over equal spans of steps in the database."""
    points = MetricPoint.objects.filter(run=run, name=name).order_by()
    last = points.aggregate(last=Max("step"))["last"]
    if last is None:
        return Series(name, [], [])
    every = max(1, ceil((last + 1) / MOST_POINTS))
    span = Cast(Floor(F("step") / Value(float(every))), IntegerField())
    found = (
        points.annotate(span=span)
        .values("span")
        .annotate(at=Max("step"), mean=Avg("value"))
        .order_by("span")
        .values_list("at", "mean")
    )
    steps, values = [], []
    for step, value in found:
        steps.append(int(step))
        values.append(float(value))
    return Series(name, steps, values, every)


@dataclass(frozen=True)
class ShownSample:
    """A sample with what can be compared: words are only where both sides are JSON objects."""

    sample: SampleOutput
    base: "SampleAnswer"
    now: "SampleAnswer"


@dataclass(frozen=True)
class SampleAnswer:
    text: str
    right: bool
    comparable: bool


def shown_samples(run: TrainingRun) -> list[ShownSample]:
    """The newest answers, each beside the base model's."""
    return [
        ShownSample(sample, _answer(sample.expected, sample.base), _answer(sample.expected, sample.text))
        for sample in latest_samples(run)
    ]


def _answer(expected: str, text: str) -> SampleAnswer:
    return SampleAnswer(text, text == expected, field_differences(expected, text) is not None)


def latest_samples(run: TrainingRun) -> list[SampleOutput]:
    """The newest answer to each of the sample examples."""
    newest = SampleOutput.objects.filter(run=run, example_id=OuterRef("example_id")).order_by("-step").values("pk")[:1]
    found = SampleOutput.objects.filter(run=run, pk__in=Subquery(newest)).order_by("example_id")
    return list(found[:SAMPLES])
