"""What one training run is asked to do: a frozen value that reads from and writes to ``spec.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from apps.training.engine.errors import TrainingError

Method = Literal["lora", "full"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """A low-rank adapter (Hu et al. 2021, arXiv:2106.09685): rank ``r``, scale ``alpha / r``, where it is attached."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    layers: str | tuple[int, ...] = "all"


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """One run; docs/training-engine.md explains every field. Times are seconds, lengths are tokens."""

    base_model: str
    base_name: str = ""
    train_rows: str = "train.jsonl"
    validation_rows: str = "validation.jsonl"
    sample_ids: tuple[str, ...] = ()
    method: Method = "lora"
    lora: LoraSpec = field(default_factory=LoraSpec)
    learning_rate: float = 1e-3
    schedule: Literal["linear", "constant"] = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    epochs: int = 2
    batch_size: int = 8
    accumulation: int = 1
    sort_window: int = 80
    max_length: int = 512
    seed: int = 0
    threads: int = 0
    precision: Precision = "auto"
    checkpoint_every_seconds: float = 60.0
    checkpoint_every_steps: int = 0
    evaluate_every_seconds: float = 90.0
    evaluate_rows: int = 48
    final_evaluate_rows: int = 0
    sample_every_seconds: float = 50.0
    max_new_tokens: int = 64
    certify_rows: int = 8
    certify_tolerance: float = 2e-3

    def __post_init__(self) -> None:
        problem = next(_problems(self), None)
        if problem is not None:
            raise TrainingError("spec", f"spec.json: {problem}")

    @property
    def rows_per_step(self) -> int:
        """Rows behind one optimizer step. Only this product, not its factors, changes what is learned."""
        return self.batch_size * self.accumulation

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    def sha256(self) -> str:
        """Identity of the run: a checkpoint of another spec is refused."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def read_spec(path: Path) -> TrainingSpec:
    """Read spec.json. Raises TrainingError (code ``spec``) naming the file and the field that is wrong."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError("spec", f"{path} does not exist, so there is nothing to train.") from None
    except ValueError as error:
        raise TrainingError("spec", f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise TrainingError("spec", f"{path} should hold one JSON object.")
    return spec_from_dict(content)


def spec_from_dict(content: dict[str, Any]) -> TrainingSpec:
    """A spec from plain values. Unknown and mistyped fields are refused by name."""
    values = dict(content)
    lora = values.pop("lora", None) or {}
    if not isinstance(lora, dict):
        raise TrainingError("spec", "spec.json: lora should be an object.")
    if "base_model" not in values:
        raise TrainingError("spec", "spec.json: base_model is missing.")
    return TrainingSpec(**_fields(TrainingSpec, values, ""), lora=LoraSpec(**_fields(LoraSpec, lora, "lora.")))


def resolve(run_dir: Path, name: str) -> Path:
    """A path of the spec: absolute, or relative to the run directory."""
    path = Path(name)
    return path if path.is_absolute() else run_dir / path


def _fields(kind: type, values: dict[str, Any], prefix: str) -> dict[str, Any]:
    defaults = {item.name: item.default for item in dataclasses.fields(kind)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in defaults:
            raise TrainingError("spec", f"spec.json: {prefix}{name} is not a known field.")
        checked[name] = _typed(f"{prefix}{name}", value, defaults[name])
    return checked


_KIND_NAMES: dict[type, str] = {str: "text", int: "a whole number", float: "a number", tuple: "a list"}


def _typed(name: str, value: Any, default: Any) -> Any:
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    either_allowed = name in ("lora.targets", "lora.layers")
    expected: tuple[type, ...] = (str, tuple) if either_allowed else (type(default),)
    if default is dataclasses.MISSING:
        expected = (str,)
    if not isinstance(value, expected) or isinstance(value, bool):
        wanted = " or ".join(_KIND_NAMES[kind] for kind in expected)
        raise TrainingError("spec", f"spec.json: {name} should be {wanted}, not {json.dumps(value)}.")
    return value


def _problems(spec: TrainingSpec) -> Iterator[str]:
    if spec.method not in ("lora", "full"):
        yield f'method should be "lora" or "full", not {spec.method!r}.'
    if spec.schedule not in ("linear", "constant"):
        yield f'schedule should be "linear" or "constant", not {spec.schedule!r}.'
    if spec.precision not in ("auto", "float32", "bfloat16"):
        yield f'precision should be "auto", "float32" or "bfloat16", not {spec.precision!r}.'
    for name in ("epochs", "batch_size", "accumulation", "sort_window", "max_new_tokens", "certify_rows"):
        if getattr(spec, name) < 1:
            yield f"{name} should be at least 1."
    for name in ("warmup_steps", "threads", "checkpoint_every_steps", "evaluate_rows", "final_evaluate_rows", "seed"):
        if getattr(spec, name) < 0:
            yield f"{name} should not be negative."
    for name in ("learning_rate", "max_grad_norm", "sample_every_seconds", "evaluate_every_seconds"):
        if not 0 < getattr(spec, name) < float("inf"):
            yield f"{name} should be a positive number."
    if spec.sample_every_seconds > 60 or spec.max_new_tokens > 64 or len(spec.sample_ids) > 8:
        yield "at most 60 s between samples, 64 new tokens and 8 sample rows: samples must not slow training down."
    if spec.max_length < 2:
        yield "max_length should be at least 2."
    if spec.lora.r < 1 or spec.lora.alpha < 1 or not 0 <= spec.lora.dropout < 1:
        yield "lora needs r ≥ 1, alpha ≥ 1 and 0 ≤ dropout < 1."
    if isinstance(spec.lora.layers, str) and spec.lora.layers not in ("all", "upper-half"):
        yield f'lora.layers should be "all", "upper-half" or a list of numbers, not {spec.lora.layers!r}.'
