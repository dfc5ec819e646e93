"""From rows to the frozen facts that the report engine computes with."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.billing.models import Reservation
from apps.core.errors import Conflict
from apps.core.models import JobStatus
from apps.evaluation.engine.facts import (
    DONE,
    FAILED,
    INFRASTRUCTURE,
    CandidateFacts,
    DatasetFacts,
    ExampleFacts,
    ExperimentFacts,
    OutputFacts,
    ReportFacts,
)
from apps.evaluation.engine.measures import metric_estimate, metric_value
from apps.evaluation.engine.metrics import Metric, scoring_for
from apps.evaluation.engine.stats.bootstrap import Resampler
from apps.evaluation.engine.stats.result import Estimate
from apps.evaluation.engine.units import CandidateUnits, candidate_units
from apps.evaluation.models import Evaluation, Output, TestLook
from apps.experiments import rows
from apps.experiments.models import Candidate, Experiment
from apps.experiments.selectors import contenders
from apps.providers.models import LanguageModel

# Nothing that it is computed from changes; this only bounds what a shared cache collects.
ESTIMATE_KEPT_SECONDS = 30 * 86_400
ENDED_BADLY = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})


def final_evaluations(experiment: Experiment) -> dict[int, Evaluation]:
    """Final evaluations by candidate id."""
    found = experiment.evaluations.filter(purpose=Evaluation.Purpose.FINAL).select_related("candidate")
    return {evaluation.candidate_id: evaluation for evaluation in found}


def report_facts(
    experiment: Experiment,
    *,
    training: Mapping[str, Any] | None = None,
    seconds: Mapping[str, float] | None = None,
    memory_mib: Mapping[str, float | None] | None = None,
    versions: Mapping[str, str] | None = None,
) -> ReportFacts:
    """Everything a report needs, as far as the evaluations have ended. Examples stand in the order of their ids."""
    evaluations = final_evaluations(experiment)
    candidates = contenders(experiment)
    version = experiment.dataset_version
    return ReportFacts(
        experiment=_experiment_facts(experiment),
        dataset=DatasetFacts(
            version_hash=version.content_hash,
            split_seed=version.dataset.split_seed,
            n_train=version.train_count,
            n_validation=version.validation_count,
            n_test=version.test_count,
        ),
        examples=_examples(evaluations),
        candidates=tuple(_candidate_facts(candidate, evaluations.get(candidate.pk)) for candidate in candidates),
        bootstrap_seed=experiment.bootstrap_seed,
        resamples=experiment.bootstrap_resamples,
        training=training or {},
        seconds=seconds or {},
        memory_mib=memory_mib or {},
        versions=versions or {},
        choices=_choices(experiment, candidates),
    )


def dataset_looks(experiment: Experiment) -> QuerySet[TestLook]:
    """Every look at the test rows of the experiment's dataset, in any version: later ones inherit the rows."""
    return TestLook.objects.filter(dataset_version__dataset=experiment.dataset_version.dataset_id)


def _experiment_facts(experiment: Experiment) -> ExperimentFacts:
    looks = list(dataset_looks(experiment).values_list("experiment_id", flat=True))
    return ExperimentFacts(
        uid=str(experiment.uid),
        name=experiment.name,
        primary_metric=experiment.primary_metric,
        margin=experiment.margin,
        alpha=experiment.alpha,
        reference=experiment.reference.name if experiment.reference else "",
        family=tuple((candidate, reference) for candidate, reference in experiment.family),
        metrics=tuple(experiment.metrics),
        registration_hash=experiment.registration_hash,
        looks=len(looks),
        other_looks=sum(looked_for != experiment.pk for looked_for in looks),
        answer=experiment.answer,
    )


def tried_on_validation(experiment: Experiment, candidates: Iterable[Candidate]) -> list[tuple[Evaluation, bool]]:
    """What was tried before the registration, in order, and whether it was chosen: a contender has its prompt."""
    used = {candidate.prompt_version_id for candidate in candidates} - {None}
    found = experiment.evaluations.filter(purpose=Evaluation.Purpose.CHOICE).select_related(
        "candidate__language_model", "candidate__prompt_version__prompt", "experiment__dataset_version__dataset"
    )
    return [
        (evaluation, evaluation.candidate.prompt_version_id in used)
        for evaluation in found.order_by("candidate__position", "id")
    ]


def _choices(experiment: Experiment, candidates: Iterable[Candidate]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "candidate": each.candidate.name,
            "prompt": str(each.candidate.prompt_version) if each.candidate.prompt_version else "",
            "prompt_hash": each.candidate.prompt_version.content_hash if each.candidate.prompt_version else None,
            "split": each.split,
            "examples": len(each.example_ids),
            "order_seed": each.order_seed,
            "chosen": chosen,
        }
        for each, chosen in tried_on_validation(experiment, candidates)
    )


def _examples(evaluations: Mapping[int, Evaluation]) -> tuple[ExampleFacts, ...]:
    """The test rows in the order of their ids; empty before the first final evaluation was planned."""
    if not evaluations:
        return ()
    by_id = rows.rows_for_evaluation(next(iter(evaluations.values())))
    return tuple(ExampleFacts(id=row.id, input=row.input, expected=row.expected) for _, row in sorted(by_id.items()))


def candidate_state(evaluation: Evaluation | None) -> str:
    """`done`, `failed`, or the job's own state while it has not ended; `planned` before it is asked for."""
    if evaluation is None:
        return JobStatus.PLANNED
    if evaluation.status == JobStatus.SUCCEEDED:
        return DONE
    return FAILED if evaluation.status in ENDED_BADLY else evaluation.status


def _candidate_facts(candidate: Candidate, evaluation: Evaluation | None) -> CandidateFacts:
    state = candidate_state(evaluation)
    model, prompt = candidate.language_model, candidate.prompt_version
    return CandidateFacts(
        name=candidate.name,
        kind=candidate.kind,
        model=model.name,
        prompt=str(prompt) if prompt else "",
        outputs=_outputs(evaluation) if evaluation is not None and state == DONE else (),
        cost_assumed=_price_is_assumed(evaluation),
        state=state,
        failure=(evaluation.error or None) if evaluation is not None else None,
        model_revision=model.revision,
        prompt_hash=prompt.content_hash if prompt else None,
        parameters=candidate.parameters,
        order_seed=evaluation.order_seed if evaluation is not None else None,
        conditions=_latency_conditions(model),
    )


def _latency_conditions(model: LanguageModel) -> dict[str, Any]:
    """Under what a candidate's latencies were measured: they are comparable only where this is the same."""
    return {
        "calls_at_once": settings.EVALUATION_CONCURRENCY,
        "call": "in the process" if model.kind == LanguageModel.Kind.BASELINE else "over HTTP",
        "left_out": ["waiting in the model's queue", "opening the model"],
        "calls_may_share_a_batch": model.kind != LanguageModel.Kind.BASELINE,
    }


def _outputs(evaluation: Evaluation) -> tuple[OutputFacts, ...]:
    stored = Output.objects.filter(evaluation=evaluation).order_by("example_id", "repeat")
    return tuple(
        OutputFacts(
            example=output.example_id,
            repeat=output.repeat,
            text=output.text,
            error=INFRASTRUCTURE if output.error == INFRASTRUCTURE else None,
            failure=output.error if output.error not in ("", INFRASTRUCTURE) else None,
            latency_ms=output.latency_ms,
            cost_nanousd=output.cost_nanousd if output.cost_nanousd or not output.error else None,
            cached=output.cached,
            finish_reason=output.finish_reason or None,
        )
        for output in stored
    )


def _price_is_assumed(evaluation: Evaluation | None) -> bool:
    """Whether any output was paid at an assumed price.

    A cached answer carries no reservation of its own: what it cost was booked for the same model and text before.
    """
    if evaluation is None:
        return False
    if evaluation.outputs.filter(reservation__price__assumed=True).exists():
        return True
    if not evaluation.outputs.filter(cached=True, cost_nanousd__gt=0).exists():
        return False
    model = evaluation.candidate.language_model
    return Reservation.objects.filter(language_model=model, price__assumed=True).exists()


def validation_value(evaluation: Evaluation) -> float:
    """The primary metric of a finished evaluation on validation, by which something may be chosen.

    Conflict if infrastructure failed for an example: what is compared must have answered the same ones.
    """
    units, metric = _validation_units(evaluation)
    if units.dropped:
        raise Conflict(
            _(
                "%(candidate)s has no answer to %(dropped)d of %(total)d validation examples, so nothing can be chosen"
                " by it. See whether it is served."
            )
            % {"candidate": evaluation.candidate.name, "dropped": units.dropped, "total": len(units.available)}
        )
    return metric_value(metric, units)


def validation_estimate(evaluation: Evaluation) -> Estimate:
    """The same value with its interval and n, for a reader. Computed once: nothing that has ended changes.

    The definition of a draft may, so all of it that the figure depends on is part of the name it is kept by.
    """
    experiment = evaluation.experiment
    metric = scoring_for(experiment.answer).metrics[experiment.primary_metric]
    depends_on = (metric.signature, experiment.alpha, experiment.bootstrap_seed, experiment.bootstrap_resamples)
    name = f"validation:{evaluation.uid}:{hashlib.sha256(repr(depends_on).encode()).hexdigest()}"
    kept: dict[str, Any] | None = cache.get(name)
    if kept is not None:
        return Estimate(**kept)
    found = _validation_estimate(evaluation)
    cache.set(name, asdict(found), timeout=ESTIMATE_KEPT_SECONDS)
    return found


def _validation_estimate(evaluation: Evaluation) -> Estimate:
    units, metric = _validation_units(evaluation)
    experiment = evaluation.experiment
    resampler = Resampler(len(units.available), experiment.bootstrap_seed, experiment.bootstrap_resamples)
    return metric_estimate(metric, units, alpha=experiment.alpha, resampler=resampler)


def _validation_units(evaluation: Evaluation) -> tuple[CandidateUnits, Metric]:
    if evaluation.split != "validation" or evaluation.status != JobStatus.SUCCEEDED:
        raise ValueError(f"{evaluation} is no finished evaluation on validation")
    by_id = rows.rows_for_evaluation(evaluation)
    examples = tuple(ExampleFacts(id=row.id, input=row.input, expected=row.expected) for row in by_id.values())
    scoring = scoring_for(evaluation.experiment.answer)
    units = candidate_units(_candidate_facts(evaluation.candidate, evaluation), examples, scoring)
    return units, scoring.metrics[evaluation.experiment.primary_metric]
