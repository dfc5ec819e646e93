"""Reads of the list of runs."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.formats import duration_text, percent_text
from apps.core.job_actions import JobPart, job_part
from apps.core.jobs import ENDED
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
    """What was predicted of a run, and what it then took: seconds of computing, pauses and lost attempts left out.

    `checked`: by a check before the start; else by the trainer itself, after its first step. `took`: None until the
    run has ended well.
    """

    low: float
    high: float
    checked: bool
    took: float | None

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def deviation(self) -> float | None:
        """By which share of the prediction's middle the run took longer; below 0 if shorter."""
        return None if self.took is None else self.took / self.middle - 1

    @property
    def within(self) -> bool | None:
        """Whether the prediction's middle lay within a quarter of what it took; None before the end."""
        return None if self.took is None else abs(self.middle - self.took) <= WITHIN * self.took

    @property
    def deviation_text(self) -> str:
        """As in "15 % longer"."""
        if self.deviation is None:
            return ""
        share = percent_text(abs(self.deviation), 0)
        if round(100 * abs(self.deviation)) == 0:
            return _("as predicted")
        return (_("%(share)s longer") if self.deviation > 0 else _("%(share)s shorter")) % {"share": share}

    @property
    def text(self) -> str:
        """The whole of it in one sentence."""
        words = {"predicted": duration_text(self.middle), "took": duration_text(self.took), "how": self.deviation_text}
        if self.took is None:
            if self.checked:
                return _("The check before the start predicted %(predicted)s of computing.") % words
            return _("Not checked before the start; after its first step the trainer predicted %(predicted)s.") % words
        if self.checked:
            return _("The check before the start predicted %(predicted)s, it took %(took)s: %(how)s.") % words
        return (
            _(
                "Not checked before the start; after its first step the trainer predicted %(predicted)s, it took"
                " %(took)s: %(how)s."
            )
            % words
        )


def prediction_of(run: TrainingRun) -> Prediction | None:
    """None for a run that nobody checked and that has not begun."""
    if run.predicted_low is None or run.predicted_high is None:
        return None
    seconds = run.result.get("phase_seconds") if run.status == JobStatus.SUCCEEDED else None
    took = sum(seconds.values()) if seconds else None
    return Prediction(run.predicted_low, run.predicted_high, run.preflight_id is not None, took)


def prediction_text(run: TrainingRun) -> str:
    """What was predicted and what it took, or why there is nothing to say."""
    prediction = prediction_of(run)
    if prediction is not None:
        return prediction.text
    if run.status in ENDED:
        return _("Nothing was predicted: the run was not checked before the start and ended before its first step.")
    return _("Not checked before the start: the trainer says how long it takes once it has timed a few steps.")
