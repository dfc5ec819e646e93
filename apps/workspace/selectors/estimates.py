"""How long a test and a training will take here and what they will cost, from what was measured here before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import F, Q, Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.billing.engine.token_estimate import cost_range
from apps.billing.errors import UnknownPrice
from apps.billing.pricing import rates_of
from apps.billing.selectors import price_of
from apps.core.models import JobStatus
from apps.evaluation.call_sizes import call_size
from apps.evaluation.models import Evaluation
from apps.experiments.models import Candidate
from apps.experiments.selectors import prompt_spec
from apps.providers.models import LanguageModel
from apps.training.datacheck import measured_of
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import plan_of
from apps.training.runlist import prediction_of

# A rate of the past holds for answers and rows of another length, on a machine that does other things, within this.
LOW, HIGH = 0.7, 1.6
SECONDS_PER_HOUR = 3600
# Trainings and checks that a rate is taken from: the newest, since machines change.
NEWEST = 5


@dataclass(frozen=True)
class Estimate:
    """A range of seconds and of nano-dollars. `unknown`: what was never measured here, so it is not in the range.

    `basis`: what the range rests on, one sentence for each training in it.
    """

    seconds_low: float = 0.0
    seconds_high: float = 0.0
    nanousd_low: int = 0
    nanousd_high: int = 0
    unknown: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()
    # Whether the seconds are of everything: a price may be unknown all the same.
    complete: bool = True

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            self.seconds_low + other.seconds_low,
            self.seconds_high + other.seconds_high,
            self.nanousd_low + other.nanousd_low,
            self.nanousd_high + other.nanousd_high,
            (*self.unknown, *(name for name in other.unknown if name not in self.unknown)),
            (*self.basis, *(text for text in other.basis if text not in self.basis)),
            self.complete and other.complete,
        )

    @property
    def known(self) -> bool:
        return self.seconds_high > 0


@dataclass
class Rates:
    """Seconds per answer of models, each asked for once."""

    _known: dict[int, float | None] = field(default_factory=dict)

    def of(self, model: LanguageModel) -> float | None:
        """From the model's own evaluations, or else from those of the model it is made from."""
        if model.pk not in self._known:
            self._known[model.pk] = _seconds_per_answer(model) or _seconds_per_answer_of_base(model)
        return self._known[model.pk]


def answering_estimate(model: LanguageModel, *, answers: int, rates: Rates | None = None) -> Estimate:
    """For so many answers of a model: from its own evaluations, or else from those of the model it is made from."""
    if model.kind == LanguageModel.Kind.BASELINE:
        return Estimate()
    rate = (rates or Rates()).of(model)
    if rate is None:
        return Estimate(unknown=(model.name,), complete=False)
    return _priced(model, LOW * rate * answers, HIGH * rate * answers)


def time_of(model: str) -> str:
    """What is unknown of a model whose money is known by tokens."""
    return _("the time of %(model)s") % {"model": model}


def candidate_estimate(candidate: Candidate, *, answers: int, rates: Rates) -> Estimate:
    """For so many answers of a candidate: money by tokens where its model is paid by them, else by seconds."""
    model = candidate.language_model
    if not model.provider:
        return answering_estimate(model, answers=answers, rates=rates)
    try:
        list_of_prices = rates_of(price_of(model))
    except UnknownPrice:
        return Estimate(unknown=(_("the price of %(model)s") % {"model": model.name},), complete=False)
    if list_of_prices is None:
        return answering_estimate(model, answers=answers, rates=rates)
    prompt = prompt_spec(candidate.prompt_version) if candidate.prompt_version is not None else None
    size = call_size(
        candidate.experiment.dataset_version, prompt, max_tokens=int(candidate.parameters.get("max_tokens") or 0)
    )
    if size is None:
        return Estimate(unknown=(model.name,), complete=False)
    low, high = cost_range(list_of_prices, size, calls=answers)
    rate = rates.of(model)
    if rate is None:
        # How fast a provider answers is known from its first answers alone; what it takes, from its price list.
        return Estimate(nanousd_low=low, nanousd_high=high, unknown=(time_of(model.name),), complete=False)
    return Estimate(LOW * rate * answers, HIGH * rate * answers, low, high)


def training_estimate(run: TrainingRun) -> Estimate:
    """For a training that has not ended: as its check measured it, else from trainings and checks of the same base."""
    if run.status == JobStatus.SUCCEEDED:
        return Estimate()
    rows = min(run.dataset_version.train_count, run.limits.get("max_examples") or run.dataset_version.train_count)
    return plan_training_estimate(run.base_model, run.spec, rows=rows, digest=plan_of(run).digest)


def plan_training_estimate(base: LanguageModel, spec: Mapping[str, Any], *, rows: int, digest: str) -> Estimate:
    """For the plan of this digest: as its check measured it; else for so many rows from what else was measured."""
    measured = measured_of(base.team_id, digest)
    if measured is not None:
        low, high = measured.result["seconds_low"], measured.result["seconds_high"]
        return replace(
            _priced(base, low, high), basis=(_("The training was measured by a check of exactly this run."),)
        )
    method = str(spec.get("method", "lora"))
    past = _past(base, method)
    if not past:
        return Estimate(unknown=(_("training of %(model)s") % {"model": base.name},), complete=False)
    seconds = _fitted(past, rows * float(spec.get("epochs", 1)))
    return replace(_priced(base, LOW * seconds, HIGH * seconds), basis=(_basis(past, base, method),))


def trainings_estimate(candidates: Iterable[Candidate]) -> Estimate:
    """For the trainings that candidates wait for, each once."""
    models = {candidate.language_model_id for candidate in candidates}
    related = ("base_model", "dataset_version", "prompt_version")
    runs = TrainingRun.objects.filter(language_model__in=models).exclude(status=JobStatus.SUCCEEDED)
    return sum((training_estimate(run) for run in runs.select_related(*related)), Estimate())


def _priced(model: LanguageModel, low: float, high: float) -> Estimate:
    """Seconds with what they cost; without a price, the seconds alone, and the price is named as unknown."""
    try:
        price = price_of(model)
    except UnknownPrice:
        return Estimate(low, high, unknown=(_("the price of %(model)s") % {"model": model.name},))
    per_second = (price.nanousd_per_hour or 0) / SECONDS_PER_HOUR
    return Estimate(low, high, round(low * per_second), round(high * per_second))


def _same_weights(model: LanguageModel, path: str) -> Q:
    """What was done with these weights by any team: the machine is as fast for one as for another."""
    if model.kind == LanguageModel.Kind.LOCAL and model.revision:
        return Q(**{f"{path}__kind": model.kind, f"{path}__revision": model.revision})
    return Q(**{path: model})


def _seconds_per_answer(model: LanguageModel) -> float | None:
    """Seconds of work per stored output over the evaluations that ended."""
    same = _same_weights(model, "candidate__language_model")
    ended = Evaluation.objects.filter(same, status=JobStatus.SUCCEEDED, work_seconds__gt=0)
    sums: dict[str, Any] = ended.aggregate(seconds=Sum("work_seconds"), answers=Sum(F("total") * F("repeats")))
    return sums["seconds"] / sums["answers"] if sums["answers"] else None


def _seconds_per_answer_of_base(model: LanguageModel) -> float | None:
    made = TrainingRun.objects.filter(language_model=model).select_related("base_model").first()
    return _seconds_per_answer(made.base_model) if made is not None else None


@dataclass(frozen=True)
class _Past:
    """One training that ended or one check: rows times epochs, the seconds of their steps, and of all the rest."""

    rows: float
    step_seconds: float
    other_seconds: float
    ended: bool


def _past(base: LanguageModel, method: str) -> list[_Past]:
    """The newest trainings of a base by this method that ended well here; checks only where there is none."""
    same = _same_weights(base, "base_model")
    runs = TrainingRun.objects.filter(same, status=JobStatus.SUCCEEDED, spec__method=method)
    found = [_of_run(run) for run in runs.order_by("-pk")[:NEWEST]]
    ended = [past for past in found if past is not None]
    if ended:
        return ended
    checks = Preflight.objects.filter(same, status=JobStatus.SUCCEEDED, spec__method=method)
    measured = checks.filter(result__seconds__train__isnull=False, result__examples__gt=0).order_by("-pk")[:NEWEST]
    return [_of_check(check) for check in measured]


def _of_run(run: TrainingRun) -> _Past | None:
    prediction, steps = prediction_of(run), run.result.get("train_seconds")
    rows = run.result.get("preflight", {}).get("train_rows", 0) * float(run.spec.get("epochs", 1))
    if prediction is None or prediction.took is None or not steps or not rows:
        return None
    return _Past(rows, steps, max(0.0, prediction.took - steps), ended=True)


def _of_check(check: Preflight) -> _Past:
    parts = check.result["seconds"]
    rows = check.result["examples"] * float(check.spec.get("epochs", 1))
    return _Past(rows, parts["train"], sum(parts.values()) - parts["train"], ended=False)


def _fitted(past: Sequence[_Past], rows: float) -> float:
    """Steps in proportion to the rows; what surrounds them as it was in the mean."""
    per_row = sum(each.step_seconds for each in past) / sum(each.rows for each in past)
    return per_row * rows + sum(each.other_seconds for each in past) / len(past)


def _basis(past: Sequence[_Past], base: LanguageModel, method: str) -> str:
    words = {"n": len(past), "model": base.name, "method": "LoRA" if method == "lora" else _("full fine-tuning")}
    if past[0].ended:
        return (
            ngettext(
                "The training is estimated from %(n)d training of %(model)s here (%(method)s).",
                "The training is estimated from %(n)d trainings of %(model)s here (%(method)s).",
                len(past),
            )
            % words
        )
    return (
        ngettext(
            "The training is estimated from %(n)d check of another run of %(model)s (%(method)s).",
            "The training is estimated from %(n)d checks of other runs of %(model)s (%(method)s).",
            len(past),
        )
        % words
    )
