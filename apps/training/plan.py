"""What is to be trained: presets as the engine's fields, and one name for one question."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.core.formats import count_text
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.providers.models import LanguageModel
from apps.training.models import Preflight, TrainingRun

METHODS: dict[str, Promise] = {"lora": gettext_lazy("LoRA adapter"), "full": gettext_lazy("Full fine-tuning")}
# For a model that does not say how much it reads.
ROOM = 512
_SAMPLE_TOKENS = 48
# Eight rows a step in two passes of four: one pass of eight needs more memory and is not much faster on a processor.
_COMMON: dict[str, Any] = {
    "schedule": "linear", "batch_size": 4, "accumulation": 2, "sort_window": 80, "precision": "float32", "seed": 1,
    "evaluate_every_seconds": 120.0, "evaluate_rows": 32, "final_evaluate_rows": 48, "sample_every_seconds": 52.0,
    "max_new_tokens": _SAMPLE_TOKENS, "certify_rows": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """One choice of how long to train. `max_examples` 0: all there are."""

    label: Promise
    epochs: int
    rank: int
    layers: str
    lora_rate: float
    full_rate: float
    max_examples: int


PRESETS = {
    "quick": Preset(gettext_lazy("Quick"), 1, 8, "upper-half", 1e-3, 1e-4, 200),
    "balanced": Preset(gettext_lazy("Balanced"), 1, 16, "all", 1e-3, 5e-5, 1000),
    "thorough": Preset(gettext_lazy("Thorough"), 3, 32, "all", 5e-4, 3e-5, 0),
}


def rate_text(rate: float) -> str:
    """A learning rate in plain decimals."""
    return f"{rate:.8f}".rstrip("0")


def preset_numbers(preset: Preset, method: str) -> str:
    """The numbers behind a preset's name."""
    rate = preset.lora_rate if method == "lora" else preset.full_rate
    parts = [
        ngettext("%(n)d epoch", "%(n)d epochs", preset.epochs) % {"n": preset.epochs},
        _("learning rate %(rate)s") % {"rate": rate_text(rate)},
    ]
    if method == "lora":
        layers = _("all layers") if preset.layers == "all" else _("the upper half of the layers")
        parts.append(_("rank %(rank)d in %(layers)s") % {"rank": preset.rank, "layers": layers})
    most = preset.max_examples
    parts.append(_("at most %(n)s examples") % {"n": count_text(most)} if most else _("all examples"))
    return ", ".join(parts)


def room_of(model: LanguageModel) -> int:
    """Tokens of the longest row: what the model reads, less what it writes as a sample during training."""
    return max(2, model.context_length - _SAMPLE_TOKENS) if model.context_length else ROOM


def spec_of(method: str, preset: Preset, model: LanguageModel) -> dict[str, Any]:
    """The engine's fields of a preset, without paths."""
    lora = {"r": preset.rank, "alpha": 2 * preset.rank, "dropout": 0.0, "targets": "all-linear"}
    return {
        **_COMMON,
        "method": method,
        "epochs": preset.epochs,
        "learning_rate": preset.lora_rate if method == "lora" else preset.full_rate,
        "max_length": room_of(model),
        **({"lora": {**lora, "layers": preset.layers}} if method == "lora" else {}),
    }


def in_smaller_passes(spec: dict[str, Any], rows: int) -> dict[str, Any]:
    """The same steps in passes of so many rows, as far as that divides them: less memory, the same is learned."""
    together = int(spec.get("batch_size", 1)) * int(spec.get("accumulation", 1))
    return {**spec, "batch_size": rows, "accumulation": together // rows} if together % rows == 0 else spec


def limits_of(*, max_examples: int = 0, max_seconds: int = 0, leave_out_long: bool = False) -> dict[str, Any]:
    """What is limited; the rest is absent, so that the same question always reads the same."""
    limits = {"max_examples": max_examples, "max_seconds": max_seconds, "leave_out_long": leave_out_long}
    return {name: value for name, value in limits.items() if value}


@dataclass(frozen=True)
class Planned:
    """All that decides the weights of a run, before or after it is a row."""

    base_model: LanguageModel
    dataset_version: DatasetVersion
    prompt_version: PromptVersion
    spec: dict[str, Any]
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return plan_digest(
            self.base_model, self.dataset_version, self.prompt_version.content_hash, self.spec, self.limits
        )


def plan_digest(
    base_model: LanguageModel, dataset_version: DatasetVersion, prompt_hash: str, spec: dict[str, Any],
    limits: Mapping[str, Any],
) -> str:  # fmt: skip
    """One name for all that decides the weights; the prompt by its content, which may not be a row yet."""
    content = {
        "base": [str(base_model.uid), base_model.revision],
        "dataset": dataset_version.content_hash,
        "prompt": prompt_hash,
        "spec": spec,
        "limits": dict(limits),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def preset_limits(preset: Preset, *, train_count: int) -> dict[str, Any]:
    """A preset's own limit of examples, where it leaves any out."""
    return limits_of(max_examples=preset.max_examples if preset.max_examples < train_count else 0)


def plan_of(row: TrainingRun | Preflight) -> Planned:
    return Planned(row.base_model, row.dataset_version, row.prompt_version, row.spec, row.limits)
