"""Training for photographs: a base model with a tokenizer, a check that was measured, one refused, one that waits."""

from django.urls import reverse
from django.utils import timezone

from apps.core.artifacts import local_folder
from apps.core.models import JobStatus
from apps.experiments import rows
from apps.providers.tests.tiny_tokenizer import chatml_tokenizer
from apps.training.engine.estimate import StepSize, TimedStep
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import PRESETS, Planned, limits_of, spec_of
from apps.training.planning import clone_query
from apps.training.services.preflights import preflight_request

_PEAKS = ((25, 900, 1.9, 1510.0), (50, 1120, 2.3, 1690.0), (95, 1780, 3.6, 2240.0))
_REFUSAL = {
    "code": "cut_answers",
    "says": {
        "template": "%(count)s of 290 training answers would be cut: the longest row has 2,310 tokens, and 2,000 fit.",
        "params": {"count": 4},
    },
    "fits": {"template": "Leaving these rows out, or a base model that reads 2,310 tokens, would do.", "params": {}},
}  # fmt: skip


def look_training(run: TrainingRun, state: str) -> None:
    """A check of the preset balanced in the state of the team's work."""
    chatml_tokenizer(local_folder(run.base_model.artifact) / "hf")
    plan = Planned(
        run.base_model, run.dataset_version, run.prompt_version, spec_of("lora", PRESETS["balanced"], run.base_model),
        limits_of(leave_out_long=state == "failed"),
    )  # fmt: skip
    row = preflight_request(actor=run.created_by, team=run.team, plan=plan)
    if state == "running":
        return
    named = [example.id for example in rows.train_sample(run.dataset_version)[:4]]
    refusals = [] if state == "full" else [{**_REFUSAL, "rows": named}]
    steps = [TimedStep(at, StepSize(cells, cells // 2), seconds, peak) for at, cells, seconds, peak in _PEAKS]
    result = {
        "examples": 276, "total_steps": 35, "trained_tokens": 13_480, "tokens": 31_206, "memory_mib": 2790,
        "available_mib": 6912, "seconds_low": 141.2, "seconds_high": 180.4, "refusals": refusals,
        "cut": {"train": len(refusals) * 4, "validation": 0, "rows": []}, "left_out": {"count": 0, "rows": []},
        "steps": [
            {"percentile": step.percentile, "size": {"cells": step.size.cells}, "seconds": step.seconds,
             "peak_mib": step.peak_mib}
            for step in steps
        ],
    }  # fmt: skip
    now = timezone.now()
    Preflight.objects.filter(pk=row.pk).update(
        status=JobStatus.SUCCEEDED, result=result, started_at=now, finished_at=now, heartbeat_at=now
    )
    TrainingRun.objects.filter(pk=run.pk).update(
        predicted_low=281.0, predicted_high=352.0, result={"phase_seconds": {"train": 290.0, "merge": 28.5}, "step": 74}
    )


def training_pages(run: TrainingRun) -> list[tuple[str, str]]:
    slug = run.team.slug
    row = Preflight.objects.filter(team=run.team).first()
    pages = [("training-runs", reverse("training_runs", args=[slug]))]
    if row is not None:
        query = clone_query(row)
        pages += [
            ("training-new", f"{reverse('training_new', args=[slug])}?{query}&name=Mine"),
            ("training-tokens", f"{reverse('training_tokens', args=[slug])}?{query}"),
            ("training-preflight", reverse("training_preflight", args=[slug, row.uid])),
        ]
    return pages
