"""What one training run is asked to do: a frozen value that reads from and writes to ``spec.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from apps.core.engine.messages import Sentence, gettext_noop
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
            raise TrainingError("spec", gettext_noop("spec.json: %(problem)s"), problem=problem)

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
        raise TrainingError(
            "spec", gettext_noop("%(path)s does not exist, so there is nothing to train."), path=path
        ) from None
    except ValueError as error:
        raise TrainingError(
            "spec", gettext_noop("%(path)s is not valid JSON: %(error)s"), path=path, error=error
        ) from error
    if not isinstance(content, dict):
        raise TrainingError("spec", gettext_noop("%(path)s should hold one JSON object."), path=path)
    return spec_from_dict(content)


def spec_from_dict(content: dict[str, Any]) -> TrainingSpec:
    """A spec from plain values. Unknown and mistyped fields are refused by name."""
    values = dict(content)
    lora = values.pop("lora", None) or {}
    if not isinstance(lora, dict):
        raise TrainingError("spec", gettext_noop("spec.json: lora should be an object."))
    if "base_model" not in values:
        raise TrainingError("spec", gettext_noop("spec.json: base_model is missing."))
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
            raise TrainingError(
                "spec", gettext_noop("spec.json: %(name)s is not a known field."), name=f"{prefix}{name}"
            )
        checked[name] = _typed(f"{prefix}{name}", value, defaults[name])
    return checked


_KIND_NAMES: dict[type, Sentence] = {
    str: Sentence(gettext_noop("text")),
    int: Sentence(gettext_noop("a whole number")),
    float: Sentence(gettext_noop("a number")),
    tuple: Sentence(gettext_noop("a list")),
}


def _typed(name: str, value: Any, default: Any) -> Any:
    if isinstance(value, list):
        value = tuple(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(default, float) and is_whole and abs(value) <= sys.float_info.max:
        value = float(value)
    either_allowed = name in ("lora.targets", "lora.layers")
    expected: tuple[type, ...] = (str, tuple) if either_allowed else (type(default),)
    if default is dataclasses.MISSING:
        expected = (str,)
    if not isinstance(value, expected) or isinstance(value, bool):
        wanted = _KIND_NAMES[expected[0]]
        if either_allowed:
            wanted = Sentence(gettext_noop("%(one)s or %(other)s"), one=wanted, other=_KIND_NAMES[tuple])
        template = gettext_noop("spec.json: %(name)s should be %(wanted)s, not %(value)s.")
        raise TrainingError("spec", template, name=name, wanted=wanted, value=json.dumps(value))
    return value


def _problems(spec: TrainingSpec) -> Iterator[Sentence]:
    if spec.method not in ("lora", "full"):
        yield Sentence(gettext_noop('method should be "lora" or "full", not %(value)s.'), value=repr(spec.method))
    if spec.schedule not in ("linear", "constant"):
        template = gettext_noop('schedule should be "linear" or "constant", not %(value)s.')
        yield Sentence(template, value=repr(spec.schedule))
    if spec.precision not in ("auto", "float32", "bfloat16"):
        template = gettext_noop('precision should be "auto", "float32" or "bfloat16", not %(value)s.')
        yield Sentence(template, value=repr(spec.precision))
    for name in ("epochs", "batch_size", "accumulation", "sort_window", "max_new_tokens", "certify_rows"):
        if getattr(spec, name) < 1:
            yield Sentence(gettext_noop("%(name)s should be at least %(least)s."), name=name, least=1)
    for name in ("warmup_steps", "threads", "checkpoint_every_steps", "evaluate_rows", "final_evaluate_rows", "seed"):
        if getattr(spec, name) < 0:
            yield Sentence(gettext_noop("%(name)s should not be negative."), name=name)
    for name in ("learning_rate", "max_grad_norm", "sample_every_seconds", "evaluate_every_seconds"):
        if not 0 < getattr(spec, name) < float("inf"):
            yield Sentence(gettext_noop("%(name)s should be a positive number."), name=name)
    yield from _problems_of_sizes(spec)


def _problems_of_sizes(spec: TrainingSpec) -> Iterator[Sentence]:
    if spec.sample_every_seconds > 60 or spec.max_new_tokens > 64 or len(spec.sample_ids) > 8:
        yield Sentence(
            gettext_noop(
                "at most 60 s between samples, 64 new tokens and 8 sample rows: samples must not slow training down."
            )
        )
    if spec.max_length < 2:
        yield Sentence(gettext_noop("%(name)s should be at least %(least)s."), name="max_length", least=2)
    if spec.lora.r < 1 or spec.lora.alpha < 1 or not 0 <= spec.lora.dropout < 1:
        yield Sentence(gettext_noop("lora needs r ≥ 1, alpha ≥ 1 and 0 ≤ dropout < 1."))
    if isinstance(spec.lora.layers, str) and spec.lora.layers not in ("all", "upper-half"):
        template = gettext_noop('lora.layers should be "all", "upper-half" or a list of numbers, not %(value)s.')
        yield Sentence(template, value=repr(spec.lora.layers))
