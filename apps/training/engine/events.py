"""Typed events of a run and the file they are appended to, one JSON line each.

The file outlives the process: sequence numbers continue after a restart, and a last line torn by a kill is cut off.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

PhaseName = Literal["load", "preflight", "train", "validate", "sample", "merge", "convert", "certify"]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; ``type`` is the name in the file."""

    type: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Started(Event):
    type: ClassVar[str] = "started"
    pid: int
    resumed_from_step: int | None
    threads: int
    versions: dict[str, str]
    cpu: str


@dataclass(frozen=True, slots=True)
class Phase(Event):
    type: ClassVar[str] = "phase"
    phase: PhaseName
    state: Literal["started", "finished"]
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Preflight(Event):
    type: ClassVar[str] = "preflight"
    train_rows: int
    validation_rows: int
    train_tokens: int
    trained_tokens: int
    longest: int
    padding_share: float
    total_steps: int
    trainable_parameters: int
    parameters: int
    cpu_capability: str
    step_seconds: dict[str, float | None]
    precision: str
    precision_reason: str
    seconds_low: float
    seconds_high: float
    stop_token: str
    stop_id: int
    first_prompt: str


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Where a phase stands. ``tokens_per_second`` counts all tokens, padding left out; ``loss`` is this step's."""

    type: ClassVar[str] = "progress"
    phase: PhaseName
    done: int = 0
    total: int | None = None
    unit: str = "step"
    epoch: int | None = None
    tokens_per_second: float | None = None
    trained_tokens_per_second: float | None = None
    seconds_left_low: float | None = None
    seconds_left_high: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    memory_mib: int = 0
    train_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Validation(Event):
    type: ClassVar[str] = "validation"
    step: int
    rows: int
    final: bool
    token_loss: float
    token_accuracy: float
    answer_loss: float
    answer_accuracy: float


@dataclass(frozen=True, slots=True)
class Sample(Event):
    type: ClassVar[str] = "sample"
    step: int
    seconds: float
    examples: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class CheckpointSaved(Event):
    type: ClassVar[str] = "checkpoint"
    step: int
    name: str
    sha256: str
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Log(Event):
    type: ClassVar[str] = "log"
    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    type: ClassVar[str] = "stopped"
    reason: Literal["pause", "cancel"]
    step: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished(Event):
    type: ClassVar[str] = "finished"
    step: int
    train_seconds: float
    tokens_per_second: float
    trained_tokens_per_second: float
    phase_seconds: dict[str, float]
    peak_memory_mib: int
    precision: str
    validation: dict[str, Any] | None
    result: str
    files: dict[str, str]
    certificate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """``text`` is English; ``sentence`` is ``Sentence.as_json``, for whoever says it in another language."""

    type: ClassVar[str] = "error"
    code: str
    text: str
    row: str | None = None
    sentence: dict[str, Any] = field(default_factory=dict)


def utc_now() -> datetime:
    return datetime.now(UTC)


class EventLog:
    """Appends events to a file. Safe to share between threads; the clock is given so that tests can hold it still."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sequence = _repair(path)
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self.last_emit = time.monotonic()

    def emit(self, event: Event) -> None:
        with self._lock:
            self._sequence += 1
            at = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = {"seq": self._sequence, "at": at, "type": event.type, **dataclasses.asdict(event)}
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            self.last_emit = time.monotonic()

    def close(self) -> None:
        with self._lock:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def read_events(path: Path, *, after: int = 0) -> list[dict[str, Any]]:
    """Events with ``seq`` above ``after``, as dictionaries. A torn last line is left out."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [event for event in map(json.loads, lines) if event["seq"] > after]


def _repair(path: Path) -> int:
    """Cut a torn last line off and return the last sequence number (0 for a new file)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return 0
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    while end:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        try:
            sequence = int(json.loads(content[begin:end])["seq"])
        except (ValueError, KeyError, TypeError):
            # A power cut can leave a complete but unreadable line; what precedes it still stands.
            end = begin
            continue
        break
    else:
        sequence = 0
    if end != len(content):
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())
    return sequence
