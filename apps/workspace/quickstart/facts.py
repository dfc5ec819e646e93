"""Facts that the quickstart adds to the report: training, library versions, memory."""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from apps.core.processes import supervisor
from apps.training.models import TrainingRun

_LIBRARIES = ("llmopt", "django", "numpy", "scipy", "torch", "transformers", "peft", "ctranslate2", "tokenizers")


def library_versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def training_facts(run: TrainingRun | None) -> dict[str, Any]:
    """What a report says about a training run. Seconds and tokens/s are those of the training loop."""
    if run is None:
        return {}
    result = run.result
    return {
        "run": str(run.uid),
        "base_model": run.base_model.name,
        "base_note": run.base_model.note,
        "examples": run.dataset_version.train_count,
        "epochs": run.spec.get("epochs"),
        "steps": result.get("step"),
        "seconds": result.get("train_seconds"),
        "tokens_per_second": result.get("tokens_per_second"),
        "trained_tokens_per_second": result.get("trained_tokens_per_second"),
        "phase_seconds": result.get("phase_seconds"),
        "precision": result.get("precision"),
        "device": run.device,
        "validation": result.get("validation"),
        "certificate": result.get("certificate"),
        "spec": run.spec,
    }


def peak_memory(before: Mapping[str, float | None]) -> dict[str, float | None]:
    """The highest sum of PSS over all processes, in MiB: of this start as the watchdog sampled it, or of one before.

    `before` is what was known until now: each start samples anew, and a run may need several. None if nobody measured.
    """
    known = before.get("peak_pss")
    try:
        now = float(json.loads(supervisor.places().peak.read_text())["peak_mib"])
    except FileNotFoundError:
        return {"peak_pss": known}
    return {"peak_pss": now if known is None else max(known, now)}
