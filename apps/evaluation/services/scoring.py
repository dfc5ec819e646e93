"""Storing an output with its scores."""

from typing import Any

from django.db import transaction

from apps.billing.metering import MeteredResult
from apps.core.storable import storable_text
from apps.evaluation.engine.facts import INFRASTRUCTURE
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.models import Evaluation, Output, Score
from apps.experiments.engine.rows import Example
from apps.experiments.models import Experiment


def output_store(*, actor: Any, evaluation: Evaluation, example: Example, repeat: int, result: MeteredResult) -> None:
    """Write one output and its scores. Called inside the settlement's transaction; a second writer changes nothing."""
    # Not "look, then create": a slice that was taken for dead and its successor may store the same answer at once.
    output, created = Output.objects.get_or_create(
        evaluation=evaluation,
        example_id=example.id,
        repeat=repeat,
        defaults={
            "text": storable_text(result.text),
            "finish_reason": storable_text(result.finish_reason)[:20],
            "error": result.error,
            "error_text": storable_text(result.error_text),
            "latency_ms": result.original_latency_ms,
            "cost_nanousd": result.original_cost_nanousd,
            "prompt_tokens": result.prompt_tokens,
            "completion_tokens": result.completion_tokens,
            "cached": result.cached,
            "reservation_id": result.reservation_id,
        },
    )
    if not created:
        return
    Score.objects.bulk_create(_scores(output, example, evaluation.experiment))


def prompt_failure_store(*, actor: Any, evaluation: Evaluation, example: Example, repeat: int, reason: str) -> None:
    """Keep that no prompt could be made for an example. It scores as a wrong answer; no ledger entry belongs to it."""
    failure = MeteredResult(error=Output.PROMPT_FAILED, error_text=reason)
    with transaction.atomic():
        output_store(actor=actor, evaluation=evaluation, example=example, repeat=repeat, result=failure)


def _scores(output: Output, example: Example, experiment: Experiment) -> list[Score]:
    scoring = scoring_for(experiment.answer)
    metrics = [scoring.metrics[name] for name in experiment.metrics]
    if output.error == INFRASTRUCTURE:
        reason = "no answer: infrastructure failed"
        return [
            Score(output=output, metric=metric.name, signature=metric.signature, unscored_reason=reason)
            for metric in metrics
        ]
    score = scoring.score(example.expected, output.text)
    return [
        Score(
            output=output,
            metric=metric.name,
            signature=metric.signature,
            value=metric.value_of(score),
            detail=score.as_json() if metric.name == scoring.primary else {},
        )
        for metric in metrics
    ]
