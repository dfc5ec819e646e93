"""How long a test and a training will take here and what they will cost, from what was measured here before."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Sum
from django.utils.translation import gettext as _

from apps.billing.selectors import price_for
from apps.core.models import JobStatus
from apps.evaluation.models import Evaluation
from apps.experiments.models import Candidate
from apps.providers.models import LanguageModel
from apps.training.models import TrainingRun

# A rate of the past holds for answers and rows of another length, on a machine that does other things, within this.
LOW, HIGH = 0.7, 1.6
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Estimate:
    """A range of seconds and of nano-dollars. `unknown`: what was never measured here, so it is not in the range."""

    seconds_low: float = 0.0
    seconds_high: float = 0.0
    nanousd_low: int = 0
    nanousd_high: int = 0
    unknown: tuple[str, ...] = ()

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            self.seconds_low + other.seconds_low,
            self.seconds_high + other.seconds_high,
            self.nanousd_low + other.nanousd_low,
            self.nanousd_high + other.nanousd_high,
            (*self.unknown, *(name for name in other.unknown if name not in self.unknown)),
        )

    @property
    def known(self) -> bool:
        return self.seconds_high > 0


def answering_estimate(model: LanguageModel, *, answers: int) -> Estimate:
    """For so many answers of a model: from its own evaluations, or else from those of the model it is made from."""
    if model.kind == LanguageModel.Kind.BASELINE:
        return Estimate()
    rate = _seconds_per_answer(model) or _seconds_per_answer_of_base(model)
    if rate is None:
        return Estimate(unknown=(model.name,))
    return _priced(model, rate * answers)


def training_estimate(run: TrainingRun) -> Estimate:
    """For a training that has not begun: from trainings of the same base."""
    if run.status == JobStatus.SUCCEEDED:
        return Estimate()
    return rows_estimate(run.base_model, rows=run.dataset_version.train_count * float(run.spec.get("epochs", 1)))


def rows_estimate(base: LanguageModel, *, rows: float) -> Estimate:
    """For so many rows (times epochs) of training from a base: from trainings of it that ended well here."""
    rate = _seconds_per_row(base)
    if rate is None:
        return Estimate(unknown=(_("training of %(model)s") % {"model": base.name},))
    return _priced(base, rate * rows)


def test_estimate(candidates: Iterable[Candidate], *, answers: int) -> Estimate:
    """For the final test of all candidates, with the trainings that they wait for."""
    total = Estimate()
    trainings = set()
    for candidate in candidates:
        total += answering_estimate(candidate.language_model, answers=answers)
        run = TrainingRun.objects.filter(language_model=candidate.language_model).select_related("base_model").first()
        if run is not None and run.pk not in trainings:
            trainings.add(run.pk)
            total += training_estimate(run)
    return total


def _priced(model: LanguageModel, seconds: float) -> Estimate:
    price = price_for(model.team_id, kind=model.kind, served_name=model.served_name)
    per_second = (price.nanousd_per_hour or 0) / SECONDS_PER_HOUR
    low, high = seconds * LOW, seconds * HIGH
    return Estimate(low, high, round(low * per_second), round(high * per_second))


def _seconds_per_answer(model: LanguageModel) -> float | None:
    """Seconds of work per stored output over the evaluations that ended."""
    ended = Evaluation.objects.filter(candidate__language_model=model, status=JobStatus.SUCCEEDED, work_seconds__gt=0)
    sums: dict[str, Any] = ended.aggregate(seconds=Sum("work_seconds"), answers=Sum(F("total") * F("repeats")))
    return sums["seconds"] / sums["answers"] if sums["answers"] else None


def _seconds_per_answer_of_base(model: LanguageModel) -> float | None:
    made = TrainingRun.objects.filter(language_model=model).select_related("base_model").first()
    return _seconds_per_answer(made.base_model) if made is not None else None


def _seconds_per_row(base: LanguageModel) -> float | None:
    """Seconds of the training loop per row and epoch, over the trainings of a base that ended well."""
    rates = []
    for run in TrainingRun.objects.filter(base_model=base, status=JobStatus.SUCCEEDED).select_related(
        "dataset_version"
    ):
        rows = run.dataset_version.train_count * float(run.spec.get("epochs", 1))
        seconds = run.result.get("train_seconds")
        if rows and seconds:
            rates.append(seconds / rows)
    return sum(rates) / len(rates) if rates else None
