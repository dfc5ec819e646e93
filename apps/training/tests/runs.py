"""Training runs as rows, with the folder and events that an engine would leave."""

import datetime
import json
from pathlib import Path
from typing import Any

from django.utils import timezone

from apps.accounts.models import Team
from apps.core import jobs
from apps.core.models import JobStatus
from apps.core.tests.factories import TrainingRunFactory
from apps.training.engine.checkpoint import hash_files
from apps.training.models import TrainingRun


def claimed_run(team: Team, **fields: Any) -> TrainingRun:
    """A run that this process holds, in its first attempt."""
    row = TrainingRunFactory.create(team=team, status=JobStatus.QUEUED, queued_at=timezone.now(), **fields)
    run: TrainingRun = jobs.claim(TrainingRun, row.pk)
    return run


def taken_over(run: TrainingRun) -> TrainingRun:
    """The same run as the next attempt holds it, after the reaper gave it away."""
    old = timezone.now() - datetime.timedelta(minutes=5)
    TrainingRun.objects.filter(pk=run.pk).update(heartbeat_at=old)
    assert jobs.reap() == 1
    again: TrainingRun = jobs.claim(TrainingRun, run.pk)
    return again


def result_folder(folder: Path, weights: str = "weights") -> Path:
    (folder / "ct2").mkdir(parents=True)
    (folder / "ct2" / "model.bin").write_text(weights)
    certificate = {"checked": weights, "passed": True, "problems": [], "files": hash_files(folder)}
    (folder / "certificate.json").write_text(json.dumps(certificate))
    return folder


def finished(**changes: Any) -> dict[str, Any]:
    return {
        "type": "finished", "step": 8, "train_seconds": 2.5, "trained_tokens_per_second": 40.0,
        "phase_seconds": {"train": 2.5}, "files": {"ct2/model.bin": "abc"}, **changes,
    }  # fmt: skip


def event(type_: str, **facts: Any) -> dict[str, Any]:
    return {"seq": 1, "at": "2026-11-24T10:00:00.000Z", "type": type_, **facts}


def progress(done: int, **changes: Any) -> dict[str, Any]:
    facts = {
        "phase": "train", "done": done, "total": 10, "loss": 1.0 / done, "learning_rate": 0.001, "memory_mib": 300,
        "trained_tokens_per_second": 50.0, "seconds_left_low": 1.0, "seconds_left_high": 2.0,
    }  # fmt: skip
    return event("progress", **{**facts, **changes})
