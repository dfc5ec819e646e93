"""Running an experiment as a job: one step after the other, in slices, from wherever it was left."""

import time
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core import audit, jobs, live
from apps.core.access import require
from apps.core.db import is_database_away
from apps.core.errors import ApplicationError
from apps.core.models import JobStatus
from apps.core.pace import UNKNOWN
from apps.core.processes import stopping
from apps.experiments.models import Experiment
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.definition import definition_hash
from apps.workspace.quickstart.facts import peak_memory
from apps.workspace.quickstart.making import StepFailed
from apps.workspace.quickstart.sequence import steps_of
from apps.workspace.quickstart.steps import Step
from apps.workspace.selectors.run_left import run_seconds_left

SLICE_SECONDS = 50
POLL_SECONDS = 0.5
# How often it is asked how long the run still takes: that reads every part of it.
LEFT_SECONDS = 4.0
PHASE_LENGTH = ExperimentRun._meta.get_field("phase").max_length


def experiment_run_start(
    *, actor: Any, team: Any, definition: dict[str, Any], experiment: Experiment | None = None
) -> ExperimentRun:
    """Start the run of a definition, or go on with the one that was started before.

    `experiment`: the one that was put together on its page, which the definition names.
    """
    with transaction.atomic():
        require(team, actor, "edit")
        known = ExperimentRun.objects.filter(experiment=experiment).first() if experiment is not None else None
        quickstart, created = (
            (known, False)
            if known is not None
            else ExperimentRun.objects.get_or_create(
                team=team,
                definition_hash=definition_hash(definition),
                defaults={"actor": actor, "definition": definition, "experiment": experiment},
            )
        )
        if created:
            audit.record(actor=actor, verb="experimentrun.started", target=quickstart)
    if quickstart.status == JobStatus.PLANNED:
        jobs.enqueue(quickstart)
    elif quickstart.status in jobs.STOPPED:
        jobs.job_resume(actor=actor, row=quickstart)
    else:
        for part in quickstart.parts():
            if part.status in jobs.STOPPED:
                jobs.job_resume(actor=actor, row=part)
    return quickstart


def experiment_run_work(*, actor: Any, quickstart: ExperimentRun) -> None:
    """Advance a claimed quickstart for one slice."""
    try:
        _advance(quickstart)
    except Exception as error:
        if is_database_away(error):
            raise  # the reaper gives the quickstart to another worker, and counts the attempt
        if isinstance(error, StepFailed) and _stop_wanted(quickstart) is not None:
            jobs.hand_on(quickstart)  # what it waited for was stopped with it: the next slice ends it as that
            return
        expected = isinstance(error, ApplicationError)
        jobs.fail(
            quickstart,
            error=error.message if isinstance(error, ApplicationError) else f"{type(error).__name__}: {error}",
            kept=_("Every finished step is kept."),
            next_step=_("Press Retry job, or start it again: it goes on from the step that failed."),
        )
        if not expected:
            raise


def _advance(quickstart: ExperimentRun) -> None:
    deadline, left_due, left = time.monotonic() + SLICE_SECONDS, 0.0, dict(UNKNOWN)
    while time.monotonic() < deadline and not stopping.requested():
        steps = steps_of(quickstart)
        step = _next_step(quickstart, steps)
        if step is None:
            jobs.finish(quickstart, done=len(steps), total=len(steps), phase="")
            return
        phase = step.name[:PHASE_LENGTH]
        if time.monotonic() >= left_due:
            left, left_due = run_seconds_left(quickstart), time.monotonic() + LEFT_SECONDS
        if not jobs.heartbeat(quickstart, phase=phase, done=_done_count(quickstart), total=len(steps), **left):
            return
        wanted = _stop_wanted(quickstart)
        if wanted is not None:
            if jobs.parts_stop(actor=None, row=quickstart, cancel=wanted == JobStatus.CANCELLED):
                jobs.finish(quickstart, to=wanted)
                return
            time.sleep(POLL_SECONDS)
            continue
        _mark(quickstart, step, "started")
        if step.run(quickstart):
            _mark(quickstart, step, "finished")
            live.publish(quickstart, "progress")
        else:
            time.sleep(POLL_SECONDS)
    jobs.hand_on(quickstart)


def _stop_wanted(quickstart: ExperimentRun) -> JobStatus | None:
    """As what somebody wants the job to end. It does once nothing that it started is at work any more."""
    flags = ExperimentRun.objects.values("cancel_requested", "pause_requested").get(pk=quickstart.pk)
    if flags["cancel_requested"]:
        return JobStatus.CANCELLED
    return JobStatus.PAUSED if flags["pause_requested"] else None


def _steps(quickstart: ExperimentRun) -> dict[str, dict[str, str]]:
    steps: dict[str, dict[str, str]] = quickstart.facts.setdefault("steps", {})
    return steps


def _next_step(quickstart: ExperimentRun, steps: tuple[Step, ...]) -> Step | None:
    return next((step for step in steps if "finished" not in _steps(quickstart).get(step.name, {})), None)


def _done_count(quickstart: ExperimentRun) -> int:
    return sum("finished" in times for times in _steps(quickstart).values())


def _mark(quickstart: ExperimentRun, step: Step, what: str) -> None:
    """Note the time of a step's start and end; the seconds of a phase span interruptions."""
    times = _steps(quickstart).setdefault(step.name, {})
    if what in times:
        return
    times[what] = timezone.now().isoformat()
    if what == "finished":
        span = datetime.fromisoformat(times["finished"]) - datetime.fromisoformat(times["started"])
        quickstart.seconds[step.name] = span.total_seconds()
    quickstart.facts["memory_mib"] = peak_memory(quickstart.facts.get("memory_mib", {}))
    if step.name == "report" and what == "started":
        first = min(datetime.fromisoformat(each["started"]) for each in _steps(quickstart).values())
        quickstart.seconds["total"] = (timezone.now() - first).total_seconds()
    # A process that slept while another took over must not write its older notes over the newer ones.
    ExperimentRun.objects.filter(pk=quickstart.pk, claim=quickstart.claim, status=JobStatus.RUNNING).update(
        facts=quickstart.facts, seconds=quickstart.seconds
    )
