"""How far an experiment run is, step by step: for the terminal and for the page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.core.job_actions import job_part
from apps.core.models import JobModel, JobStatus
from apps.evaluation.models import Evaluation
from apps.training.models import TrainingRun
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.bringing import fetch_of_step
from apps.workspace.quickstart.making import FEW_SHOT, PLAIN, TUNED
from apps.workspace.quickstart.sequence import steps_of

_FINAL_OF = {"plain": PLAIN, "few_shot": FEW_SHOT, "tuned": TUNED}
# What a step that has begun is called when its job is not at work.
_AT_REST: dict[str, str] = {JobStatus.FAILED: "failed", JobStatus.CANCELLED: "cancelled", JobStatus.PAUSED: "paused"}


@dataclass(frozen=True)
class StepProgress:
    """One step: `done` of `total` are outputs or training steps; 0 of 0 where nothing is counted."""

    name: str
    label: str
    state: str
    seconds: float | None
    done: int
    total: int
    seconds_left_low: float | None
    seconds_left_high: float | None
    detail: str = ""

    @property
    def under_way(self) -> bool:
        """Begun, and not done."""
        return self.state not in ("done", "waiting")


def progress_of(quickstart: ExperimentRun) -> list[StepProgress]:
    """Every step in order, with the progress of the jobs behind it."""
    times = quickstart.facts.get("steps", {})
    evaluations = _evaluations(quickstart)
    return [
        _step(quickstart, step.name, str(step.label), times.get(step.name, {}), evaluations)
        for step in steps_of(quickstart)
    ]


def _evaluations(quickstart: ExperimentRun) -> list[Evaluation]:
    if quickstart.experiment_id is None:
        return []
    found = Evaluation.objects.filter(experiment_id=quickstart.experiment_id).select_related("candidate")
    return list(found.order_by("id"))


def _step(
    quickstart: ExperimentRun, name: str, label: str, times: dict[str, str], evaluations: list[Evaluation]
) -> StepProgress:
    jobs = _jobs_of(quickstart, name, evaluations)
    state = _state(quickstart, name, times)
    running = [job for job in jobs if job.status == JobStatus.RUNNING]
    shown = running[0] if running else None
    return StepProgress(
        name=name,
        label=label,
        state=state,
        seconds=_seconds(quickstart, times),
        done=sum(job.done for job in jobs),
        total=_total(quickstart, name, jobs),
        seconds_left_low=shown.seconds_left_low if shown else None,
        seconds_left_high=shown.seconds_left_high if shown else None,
        detail=shown.phase if isinstance(shown, TrainingRun) else _brought_text(quickstart, name),
    )


def _brought_text(quickstart: ExperimentRun, name: str) -> str:
    """How much of a model has arrived, for a step that waits for one."""
    fetch = fetch_of_step(quickstart, name)
    return job_part(fetch, role=None).bytes_text if fetch is not None else ""


def _jobs_of(quickstart: ExperimentRun, name: str, evaluations: list[Evaluation]) -> list[JobModel]:
    if name == "train":
        return [quickstart.training_run] if quickstart.training_run is not None else []
    if name == "choose":
        return [item for item in evaluations if item.purpose == Evaluation.Purpose.CHOICE]
    finals = [item for item in evaluations if item.purpose == Evaluation.Purpose.FINAL]
    if name == "baselines":
        return [item for item in finals if item.candidate.kind == "baseline"]
    what, _colon, candidate = name.partition(": ")
    if what == "train":
        made = TrainingRun.objects.filter(
            language_model__candidates__experiment=quickstart.experiment_id, language_model__candidates__name=candidate
        )
        return list(made)
    wanted = candidate if what == "test" else _FINAL_OF.get(name)
    return [item for item in finals if item.candidate.name == wanted]


def _total(quickstart: ExperimentRun, name: str, jobs: list[Any]) -> int:
    if name == "choose":
        few_shot = quickstart.definition["prompts"]["few_shot"]
        return int(few_shot["sample"] * len(few_shot["draw_seeds"]))
    return sum(job.total for job in jobs)


def _state(quickstart: ExperimentRun, name: str, times: dict[str, str]) -> str:
    if "finished" in times:
        return "done"
    if "started" not in times:
        return "waiting"
    return _AT_REST.get(quickstart.status, "running")


def _seconds(quickstart: ExperimentRun, times: dict[str, str]) -> float | None:
    if "started" not in times:
        return None
    start = datetime.fromisoformat(times["started"])
    now = quickstart.finished_at if quickstart.status in _AT_REST and quickstart.finished_at else timezone.now()
    end = datetime.fromisoformat(times["finished"]) if "finished" in times else now
    return (end - start).total_seconds()
