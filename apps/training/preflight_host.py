"""The host of a preflight: holds the device, lets the engine time real steps in a child process, keeps the answer."""

import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import close_old_connections
from django.utils.translation import gettext as _

from apps.core import jobs, live
from apps.core.engine.messages import Sentence, gettext_noop
from apps.core.errors import ApplicationError
from apps.core.models import JobStatus
from apps.core.processes.environment import without_secrets
from apps.core.processes.tree import process_key
from apps.core.storable import storable_json
from apps.training import workdir
from apps.training.datacheck import leak_refusals
from apps.training.device import lease_release, lease_take
from apps.training.engine.measure import RESULT
from apps.training.engine.rowcheck import NAMED_ROWS, Refusal
from apps.training.memory import available_mib
from apps.training.models import Preflight
from apps.training.plan import plan_of

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
NOT_CURRENT = 3


def preflight_run(pk: int, *, attempt: int, claim: str) -> int:
    """Measure one claimed preflight. Returns the process's exit code: 0 unless this attempt had no right to run."""
    row = Preflight.objects.filter(pk=pk, attempt=attempt, claim=claim, status=JobStatus.RUNNING).first()
    if row is None:
        return NOT_CURRENT
    if not lease_take(row):
        jobs.give_back(row, attempt=0)
        return NOT_CURRENT
    key = process_key(os.getpid())
    jobs.heartbeat(row, host_pid=os.getpid(), host_started_ticks=key.started if key else None)
    folder = workdir.preflight_dir(row)
    try:
        return _answer(row, folder)
    except Exception as error:
        log.exception("preflight failed", extra={"preflight": str(row.uid)})
        _fail(row, f"{type(error).__name__}: {error}")
        return 1
    finally:
        lease_release(row, attempt=attempt)
        shutil.rmtree(folder, ignore_errors=True)
        live.publish(row, "status")


def _answer(row: Preflight, folder: Path) -> int:
    """Rows first: what cannot be trained on is refused before a model is opened."""
    jobs.heartbeat(row, phase="rows")
    refusals = leak_refusals(row.dataset_version)
    if refusals:
        return _finish(row, {}, refusals)
    try:
        inputs = workdir.write_inputs(folder, plan_of(row))
    except ApplicationError as error:
        says = Sentence(gettext_noop("The rows cannot be prepared. %(text)s"), text=error.message)
        return _finish(row, {}, [Refusal(error.code, says)])
    left_out = {"left_out": {"count": len(inputs.left_out), "rows": inputs.left_out[:NAMED_ROWS]}}
    code = _follow(row, folder)
    if code is None:
        return 0
    if code == 0:
        measured = storable_json(_read(folder))
        return _finish(row, {**measured, **left_out}, [Refusal.from_json(item) for item in measured["refusals"]])
    if code == -signal.SIGKILL:
        says = Sentence(gettext_noop("The process that measured was ended by the system: there was not enough memory."))
        fits = Sentence(gettext_noop("A smaller base model, or LoRA in the upper half of the layers, may fit."))
        return _finish(row, left_out, [Refusal("memory", says, fits)])
    return _engine_failed(row, folder, left_out, code)


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return found


def _engine_failed(row: Preflight, folder: Path, found: dict[str, Any], code: int) -> int:
    """An expected failure is an answer, too: the run would fail at the same."""
    events, _offset = workdir.new_events(folder, 0)
    error: dict[str, Any] = next((event for event in reversed(events) if event["type"] == "error"), {})
    if error.get("sentence") and error["code"] != "bug":
        return _finish(row, found, [Refusal(str(error["code"]), Sentence.from_json(error["sentence"]))])
    _fail(row, str(error.get("text") or _("The measuring process ended with exit code %(code)s.") % {"code": code}))
    return 1


def _finish(row: Preflight, found: dict[str, Any], refusals: list[Refusal]) -> int:
    result = {**found, "refusals": [refusal.as_json() for refusal in refusals]}
    return 0 if jobs.finish(row, phase="", result=result) else NOT_CURRENT


def _fail(row: Preflight, sentence: str) -> None:
    jobs.fail(row, error=sentence, kept=_("Nothing was changed."), next_step=_("Press Retry to measure again."))


def _follow(row: Preflight, folder: Path) -> int | None:
    """The engine's exit code; None when the job was cancelled, paused or taken over meanwhile."""
    engine = _start(folder, int(row.limits.get("max_seconds", 0)))
    offset, shown = 0, dict[str, Any](phase="load")
    try:
        while True:
            code = engine.poll()
            close_old_connections()
            events, offset = workdir.new_events(folder, offset)
            for event in events:
                if event["type"] == "progress":
                    shown = {"phase": event["phase"], "done": event["done"] or 0, "total": event["total"] or 0}
            if not jobs.heartbeat(row, **shown) or not lease_take(row):
                return None
            if events:
                live.publish(row, "progress")
            if code is not None:
                return code
            wanted = _stop_wanted(row)
            if wanted is not None:
                jobs.finish(row, to=wanted)
                return None
            time.sleep(POLL_SECONDS)
    finally:
        if engine.poll() is None:
            engine.kill()
            engine.wait()


def _stop_wanted(row: Preflight) -> JobStatus | None:
    flags = Preflight.objects.values("cancel_requested", "pause_requested").get(pk=row.pk)
    if flags["cancel_requested"]:
        return JobStatus.CANCELLED
    return JobStatus.PAUSED if flags["pause_requested"] else None


def _available_mib() -> float:
    """What the machine has, and what a training here may take of it at most."""
    return min(available_mib(), settings.TRAINING_MEMORY_MIB or math.inf)


def _start(folder: Path, max_seconds: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "apps.training.engine.measure", str(folder)]
    command += ["--available-mib", f"{_available_mib():.0f}", "--seconds", str(max_seconds)]
    with (folder / "engine.log").open("ab") as output:
        return subprocess.Popen(
            [*command, "--parent-death", str(os.getpid())],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=without_secrets(LLMOPT_ROLE="host", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1"),
        )
