"""The run directory that host and engine share: rows, spec, control and events."""

import json
import os
import shutil
from pathlib import Path

from django.conf import settings

from apps.core.artifacts import local_folder
from apps.core.storable import storable_json
from apps.experiments import rows
from apps.experiments.engine.prompts import PromptSpec, render_messages
from apps.experiments.engine.rows import Example
from apps.experiments.selectors import prompt_spec
from apps.training.models import TrainingRun

SAMPLE_ROWS = 3


def run_dir(run: TrainingRun) -> Path:
    return Path(settings.VAR_DIR) / "training" / str(run.uid)


def prepare(run: TrainingRun) -> Path:
    """Write what the engine reads, once. The spec is written last: with it the directory is complete."""
    folder = run_dir(run)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "spec.json").exists():
        prompt = prompt_spec(run.prompt_version)
        train = rows.train_rows(run.dataset_version)
        validation = rows.validation_rows(run.dataset_version)
        _write(folder / "train.jsonl", _as_lines(train, prompt))
        _write(folder / "validation.jsonl", _as_lines(validation, prompt))
        _write(folder / "spec.json", json.dumps(_spec(run, validation, folder), indent=2))
    return folder


def _spec(run: TrainingRun, validation: tuple[Example, ...], folder: Path) -> dict[str, object]:
    base = local_folder(run.base_model.artifact) / "hf"
    return {
        "threads": settings.TRAINING_THREADS,
        **run.spec,
        # Last, so that no run's own spec can name another folder. Relative, so that a run that was interrupted goes on
        # where the installation was moved to; the spec is written once, since a checkpoint holds its hash.
        "base_model": os.path.relpath(base.resolve(), folder.resolve()),
        "base_name": run.base_model.name,
        "sample_ids": [row.id for row in validation[:SAMPLE_ROWS]],
    }


def _as_lines(examples: tuple[Example, ...], prompt: PromptSpec) -> str:
    lines = []
    for row in examples:
        turns = render_messages(prompt, row.input, row.columns)
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        lines.append(json.dumps({"id": row.id, "messages": messages, "answer": row.expected}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def ask(folder: Path, what: str) -> None:
    """Tell the engine to `pause` or `cancel`; an empty word takes it back."""
    if what:
        _write(folder / "control", what)
    else:
        (folder / "control").unlink(missing_ok=True)


def forget_result(folder: Path) -> None:
    """Let the engine export again: it goes on from the last checkpoint, which is the trained model."""
    # In this order, so that a kill in between leaves what the engine can go on from.
    (folder / "trained.json").unlink(missing_ok=True)
    if (folder / "result").exists():
        shutil.rmtree(folder / "result")


def new_events(folder: Path, offset: int) -> tuple[list[dict[str, object]], int]:
    """Whole lines of events.jsonl after byte `offset`, and the offset behind them. A torn last line waits."""
    path = folder / "events.jsonl"
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return [storable_json(json.loads(line)) for line in data[:end].splitlines() if line.strip()], offset + end
