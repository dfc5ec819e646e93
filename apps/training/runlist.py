"""Reads of the list of runs."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.formats import percent_text
from apps.core.job_actions import JobPart, job_part
from apps.core.models import JobStatus
from apps.training.models import Preflight, TrainingRun
from apps.training.planning import clone_query
from apps.training.queueing import place_text

WITHIN = 0.25


@dataclass(frozen=True)
class RunRow(JobPart):
    """One run as the list shows it."""

    place: str
    query: str


def training_runs(*, user: Any, team: Any) -> QuerySet[TrainingRun]:
    """Runs of a team, newest first."""
    related = ("base_model", "language_model", "dataset_version__dataset", "prompt_version", "created_by")
    return TrainingRun.objects.for_user(user).filter(team=team).select_related(*related)


def run_rows(runs: list[TrainingRun], *, role: str | None) -> list[RunRow]:
    """With each waiting run's place in the queue, which jobs of every team share."""
    waiting = list(TrainingRun.objects.filter(status=JobStatus.QUEUED).order_by("pk").values_list("pk", flat=True))
    before = Preflight.objects.filter(status=JobStatus.QUEUED).count() if waiting else 0
    places = {pk: place_text(before + number) for number, pk in enumerate(waiting)}
    return [
        RunRow(**vars(job_part(run, role=role)), place=places.get(run.pk, ""), query=clone_query(run)) for run in runs
    ]


@dataclass(frozen=True)
class Prediction:
    """What was predicted before the first step, and what the run then took: seconds of work, pauses left out."""

    low: float
    high: float
    took: float | None

    @property
    def within(self) -> bool | None:
        """Whether the middle of the range lay within a quarter of what it took; None before the end."""
        if self.took is None:
            return None
        return abs((self.low + self.high) / 2 - self.took) <= WITHIN * self.took

    @property
    def verdict(self) -> str:
        if self.within is None:
            return ""
        words = _("within %(share)s") if self.within else _("not within %(share)s")
        return words % {"share": percent_text(WITHIN, 0)}


def prediction_of(run: TrainingRun) -> Prediction | None:
    if run.predicted_low is None or run.predicted_high is None:
        return None
    seconds = run.result.get("phase_seconds") if run.status == JobStatus.SUCCEEDED else None
    return Prediction(run.predicted_low, run.predicted_high, sum(seconds.values()) if seconds else None)
