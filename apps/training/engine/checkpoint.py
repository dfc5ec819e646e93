"""Saved states of a run: written beside, flushed, hashed, renamed; verified when read. No pickle anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.core.engine.messages import gettext_noop
from apps.core.faults import fault_point
from apps.training.engine.errors import TrainingError

if TYPE_CHECKING:
    import torch

KEEP = 2
_PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Position:
    """Where the loop stands: ``step`` optimizer steps done, the next is group ``group`` of ``epoch``."""

    step: int = 0
    epoch: int = 0
    group: int = 0
    train_seconds: float = 0.0
    tokens: int = 0
    trained_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Loaded:
    name: str
    position: Position
    phase_seconds: dict[str, float]
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    random: torch.Tensor


def save_checkpoint(
    folder: Path, *, spec_sha256: str, position: Position, phase_seconds: dict[str, float],
    parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer,
) -> Saved:  # fmt: skip
    """Write one state and keep the last two. It appears under its name only when all of it is on disk."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    name = f"{_PREFIX}{position.step:08d}"
    writing = folder / f".{name}.writing"
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir()
    weights = {key: value.detach().contiguous() for key, value in parameters.items()}
    save_file(weights, str(writing / "weights.safetensors"))
    save_file(_optimizer_tensors(optimizer), str(writing / "optimizer.safetensors"))
    save_file({"torch": torch.get_rng_state()}, str(writing / "random.safetensors"))
    state = {
        "spec_sha256": spec_sha256,
        "position": {key: getattr(position, key) for key in Position.__slots__},
        "phase_seconds": phase_seconds,
    }
    (writing / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
    manifest = json.dumps(hash_files(writing), indent=2)
    (writing / "manifest.json").write_text(manifest, encoding="utf-8")
    size = sum(path.stat().st_size for path in writing.iterdir())
    fault_point("checkpoint")
    publish(writing, folder / name)
    _prune(folder)
    return Saved(name=name, sha256=hashlib.sha256(manifest.encode()).hexdigest(), bytes=size)


def load_latest(folder: Path, *, spec_sha256: str, warn: Callable[[str], None]) -> Loaded | None:
    """The newest state that is whole, or None. A damaged one is named through ``warn`` and the one before it is used.

    Raises TrainingError when the state belongs to another spec: going on would mix two runs.
    """
    from safetensors.torch import load_file

    name = newest_whole(folder, warn=warn)
    if name is None:
        return None
    path = folder / name
    state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    if state["spec_sha256"] != spec_sha256:
        raise TrainingError(
            "spec",
            gettext_noop("Checkpoint %(name)s belongs to another spec.json; start a new run instead."),
            name=name,
        )
    return Loaded(
        name=name,
        position=Position(**state["position"]),
        phase_seconds=state["phase_seconds"],
        weights=load_file(str(path / "weights.safetensors")),
        optimizer=load_file(str(path / "optimizer.safetensors")),
        random=load_file(str(path / "random.safetensors"))["torch"],
    )


def newest_whole(folder: Path, *, warn: Callable[[str], None] = lambda _said: None) -> str | None:
    """The name of the newest state that is whole, or None; damaged ones before it are named through ``warn``."""
    names = sorted((path.name for path in folder.glob(f"{_PREFIX}*")), reverse=True) if folder.is_dir() else []
    for name in names:
        problem = damage(folder / name)
        if problem is None:
            return name
        warn(f"Checkpoint {name} is damaged ({problem}) and was passed over.")
    return None


def step_of(name: str) -> int:
    """How many optimizer steps were done in the state of this name."""
    return int(name.removeprefix(_PREFIX))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that is either whole or absent."""
    writing = path.with_name(f".{path.name}.tmp")
    with writing.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(writing, path)


def restore(loaded: Loaded, *, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Put a loaded state into the model, the optimizer and torch's random generator."""
    import torch

    if loaded.weights.keys() != parameters.keys():
        raise TrainingError(
            "model",
            gettext_noop("Checkpoint %(name)s does not fit this model: its weights have other names."),
            name=loaded.name,
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(loaded.weights[name])
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in loaded.optimizer.items():
        number, field = key.split(".", 1)
        state.setdefault(int(number), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(loaded.random)


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that carries a manifest.json, or None when every file has its recorded hash."""
    try:
        expected = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "manifest.json is missing or unreadable"
    found = hash_files(folder)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if expected.get(name) != found[name]:
            return f"{name} has changed"
    return None


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by relative path, manifest.json left out."""
    hashes: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def publish(writing: Path, final: Path) -> None:
    """Flush a finished folder to disk and give it its name in one step. An older folder of that name goes first."""
    for path in [*writing.rglob("*"), writing]:
        _flush(path)
    if final.exists():
        shutil.rmtree(final)
    os.rename(writing, final)
    _flush(final.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{number}.{field}": tensor.contiguous()
        for number, fields in optimizer.state_dict()["state"].items()
        for field, tensor in fields.items()
    }


def _prune(folder: Path) -> None:
    for path in sorted(folder.glob(f"{_PREFIX}*"))[:-KEEP]:
        shutil.rmtree(path)
    for path in folder.glob(f".{_PREFIX}*.writing"):
        shutil.rmtree(path)
