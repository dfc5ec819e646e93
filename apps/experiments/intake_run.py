"""Running the intake engine on a quarantined file: in a process of its own, with its progress on the job's row."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.utils.translation import gettext as _

from apps.core import jobs, live
from apps.core.engine.messages import Sentence
from apps.core.errors import translated
from apps.core.formats import duration_text, size_text
from apps.core.models import JobModel, JobStatus
from apps.core.pace import PhasePace
from apps.core.processes import stopping
from apps.core.storable import storable_json
from apps.core.uploads.child import Ended, Limits, run_confined

log = logging.getLogger(__name__)

ENGINE = "apps.experiments.engine.intake"
_MIB = 1024 * 1024
# A byte of Windows-1252 takes up to three as UTF-8, which is written out before such a file is read.
_GROWTH = 3
# Of memory, of processor time and by the clock: below the time that the queue gives a task.
_BOUNDS = {"inspect": (2048 * _MIB, 60, 90.0), "stage": (3072 * _MIB, 200, 210.0)}
RESULT_BYTES = 16 * _MIB

# refused: the file is at fault, and `reason` says how. stopped: somebody asked for it, or the worker must end.
Outcome = Literal["done", "refused", "stopped", "broken"]


Verb = Literal["inspect", "stage"]


def limits_of(verb: Verb) -> Limits:
    """What the engine may take for the largest file that may be uploaded; half a gigabyte is left for its rows."""
    memory, cpu, wall = _BOUNDS[verb]
    file_bytes = max(512 * _MIB, _GROWTH * settings.UPLOAD_MAX_BYTES)
    return Limits(memory_bytes=memory, cpu_seconds=cpu, file_bytes=file_bytes, wall_seconds=wall)


@dataclass(frozen=True)
class IntakeEnd:
    outcome: Outcome
    result: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def run_intake(job: JobModel, verb: Verb, *, spec: Mapping[str, Any], folder: Path) -> IntakeEnd:
    """Have the engine work on `folder` as `spec` says, and read what it found. The row is kept alive meanwhile."""
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    limits = limits_of(verb)
    watch = _Watch(job, folder / "events.jsonl")
    ended = run_confined([ENGINE, verb, str(folder)], folder=folder, limits=limits, beat=watch.beat)
    if ended.how == "stopped":
        return IntakeEnd("stopped")
    if ended.how != "exited":
        return IntakeEnd("refused", reason=_limit_text(ended, limits))
    result = _result(folder / "result.json")
    if result.get("refused_sentence"):
        return IntakeEnd("refused", result, translated(Sentence.from_json(result["refused_sentence"])))
    if ended.status != 0 or not result:
        log.error(
            "the intake engine failed", extra={"uid": str(job.uid), "status": ended.status, "output": ended.output}
        )
        return IntakeEnd(
            "broken", reason=(ended.output.strip().splitlines() or [f"exit status {ended.status}"])[-1][:300]
        )
    return IntakeEnd("done", result)


def job_stopped(job: JobModel) -> None:
    """End or hand back a job whose engine was told to stop. A claim that is lost is somebody else's by now."""
    job.refresh_from_db(fields=["cancel_requested", "pause_requested"])
    if job.cancel_requested or job.pause_requested:
        jobs.finish(job, to=JobStatus.CANCELLED if job.cancel_requested else JobStatus.PAUSED)
    else:
        jobs.give_back(job)


class _Watch:
    """Carries progress from the engine's events to the row, and wishes from the row to the engine."""

    def __init__(self, job: JobModel, events: Path) -> None:
        self._job = job
        self._events = events
        self._read_to = 0
        self._beaten_at = 0.0
        self._pace = PhasePace()

    def beat(self) -> bool:
        """False when the process has to end: the claim is lost, somebody asked for it, or the worker stops."""
        if stopping.requested():
            return False
        progress = self._progress()
        now = time.monotonic()
        if not progress and now - self._beaten_at < settings.JOB_HEARTBEAT_SECONDS:
            return True
        self._beaten_at = now
        if not jobs.heartbeat(self._job, **progress):
            return False
        if progress:
            live.publish(self._job, "progress")
        self._job.refresh_from_db(fields=["cancel_requested", "pause_requested"])
        return not (self._job.cancel_requested or self._job.pause_requested)

    def _progress(self) -> dict[str, Any]:
        """The row's fields as the newest whole line of the events has them."""
        try:
            with self._events.open("rb") as file:
                file.seek(self._read_to)
                new = file.read(_MIB)
        except FileNotFoundError:
            return {}
        whole = new.rpartition(b"\n")[0]
        if not whole:
            return {}
        self._read_to += len(whole) + 1
        event = json.loads(whole.splitlines()[-1])
        at: dict[str, Any] = {
            "phase": str(event.get("phase", ""))[:80],
            "done": int(event.get("done") or 0),
            "total": int(event.get("total") or 0),
        }
        return {**at, **self._pace.left(**at)}


def _result(path: Path) -> dict[str, Any]:
    """What the engine wrote, in a form that every database can hold; nothing when it wrote nothing."""
    if not path.exists() or path.stat().st_size > RESULT_BYTES:
        return {}
    result: dict[str, Any] = storable_json(json.loads(path.read_bytes()))
    return result


def _limit_text(ended: Ended, limits: Limits) -> str:
    if ended.how == "memory":
        return _("Reading the file takes more than %(size)s of memory. Split it into smaller files.") % {
            "size": size_text(limits.memory_bytes)
        }
    if ended.how == "size":
        return _("What the file holds is larger than %(size)s when it is written out. Split it into smaller files.") % {
            "size": size_text(limits.file_bytes)
        }
    return _("Reading the file takes longer than %(time)s. Split it into smaller files.") % {
        "time": duration_text(min(limits.wall_seconds, limits.cpu_seconds))
    }
