"""The run directory that host and engine share: rows, spec, control and events."""

import json
import os
import shutil
from pathlib import Path

from django.conf import settings

from apps.core.storable import storable_json
from apps.training.engine.data import Row
from apps.training.inputs import PlannedRows, base_folder, planned_rows
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import Planned, plan_of

SAMPLE_ROWS = 3


def run_dir(run: TrainingRun) -> Path:
    return Path(settings.VAR_DIR) / "training" / str(run.uid)


def prepare(run: TrainingRun) -> Path:
    """Write what the engine reads, once. The spec is written last: with it the directory is complete."""
    folder = run_dir(run)
    if not (folder / "spec.json").exists():
        write_inputs(folder, plan_of(run))
    return folder


def preflight_dir(preflight: Preflight) -> Path:
    return Path(settings.VAR_DIR) / "preflights" / str(preflight.uid)


def write_inputs(folder: Path, plan: Planned) -> PlannedRows:
    """Rows and spec of a plan, as the engine reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    found = planned_rows(plan)
    _write(folder / "train.jsonl", _as_lines(found.train))
    _write(folder / "validation.jsonl", _as_lines(found.validation))
    _write(folder / "spec.json", json.dumps(_spec(plan, found.validation, folder), indent=2))
    return found


def _spec(plan: Planned, validation: list[Row], folder: Path) -> dict[str, object]:
    return {
        "threads": settings.TRAINING_THREADS,
        **plan.spec,
        # Last, so that no run's own spec can name another folder. Relative, so that a run that was interrupted goes on
        # where the installation was moved to; the spec is written once, since a checkpoint holds its hash.
        "base_model": os.path.relpath(base_folder(plan.base_model).resolve(), folder.resolve()),
        "base_name": plan.base_model.name,
        "sample_ids": [row.id for row in validation[:SAMPLE_ROWS]],
    }


def _as_lines(found: list[Row]) -> str:
    lines = []
    for row in found:
        messages = [{"role": turn.role, "content": turn.content} for turn in row.messages]
        lines.append(json.dumps({"id": row.id, "messages": messages, "answer": row.answer}, ensure_ascii=False))
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


def some_events(folder: Path, offset: int, most: int) -> tuple[list[dict[str, object]], int]:
    """As `new_events`, the first `most` of them alone."""
    with (folder / "events.jsonl").open("rb") as file:
        file.seek(offset)
        lines = [line for _number, line in zip(range(most), file, strict=False) if line.endswith(b"\n")]
    return [storable_json(json.loads(line)) for line in lines if line.strip()], offset + sum(map(len, lines))
