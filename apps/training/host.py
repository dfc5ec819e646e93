"""The training host: holds the run, starts the engine as its child, and brings its events into the database.

It outlives the queue's worker and every other process. Everything it writes is fenced by the attempt and claim it
was started with: a host that comes back to life after another took over changes nothing.
"""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core import jobs, live
from apps.core.db import is_database_away
from apps.core.errors import Conflict
from apps.core.models import JobStatus
from apps.core.processes.environment import without_secrets
from apps.core.processes.tree import process_key
from apps.training import workdir
from apps.training.device import lease_release, lease_take
from apps.training.events import failure_text, record_events
from apps.training.models import TrainingRun
from apps.training.services.registry import StoredModelDamaged, model_version_register
from apps.training.services.runs import training_run_failed, training_run_taken_up

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
AWAY_SECONDS = 2.0
LOCK_WAIT_SECONDS = 60
ENGINE_RESTARTS = 3
EXIT_FINISHED, EXIT_FAILED, EXIT_PAUSED, EXIT_CANCELLED = 0, 1, 10, 11


@dataclass
class Host:
    """State of one host process."""

    run: TrainingRun
    folder: Path
    engine: subprocess.Popen[bytes] | None = None
    asked: str = ""
    # Save, and give the run back to the queue: the installation stops, or another run has the device.
    leaving: bool = False
    restarts: int = 0
    last_events: dict[str, dict[str, Any]] = field(default_factory=dict)


def host_run(pk: int, *, attempt: int, claim: str) -> int:
    """Run one attempt to its end. Returns the process's exit code: 0 unless this attempt had no right to run."""
    run = TrainingRun.objects.filter(pk=pk, attempt=attempt, claim=claim, status=JobStatus.RUNNING).first()
    if run is None:
        log.warning("training attempt is not current", extra={"pk": pk, "attempt": attempt})
        return 3
    host = Host(run=run, folder=workdir.run_dir(run))
    host.folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(host.folder)
    if lock is None:
        _give_back(run)
        return 3
    # Waiting for the lock takes time: another attempt may have been started meanwhile.
    if not _is_current(run) or not lease_take(run):
        _give_back(run)
        os.close(lock)
        return 3
    training_run_taken_up(actor=None, run=run)
    signal.signal(signal.SIGTERM, lambda *_args: setattr(host, "leaving", True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid = os.getpid()
    _mine(run).update(host_pid=pid, host_started_ticks=_ticks(pid), heartbeat_at=timezone.now())
    try:
        return _supervise(host)
    except Exception as error:
        _stop_engine(host)
        log.exception("training host failed", extra={"run": str(run.uid)})
        if is_database_away(error):
            return 1  # nothing can be recorded now; the reaper starts the next attempt from what is on disk
        _fail(
            host,
            _("The training host stopped with an error: %(error)s") % {"error": f"{type(error).__name__}: {error}"},
        )
        return 1
    finally:
        lease_release(run, attempt=attempt)
        os.close(lock)


def _mine(run: TrainingRun) -> QuerySet[TrainingRun]:
    """The row, as long as this attempt holds it. The claim counts too: attempts start again at one after a pause."""
    rows: QuerySet[TrainingRun] = TrainingRun.objects.filter(
        pk=run.pk, attempt=run.attempt, claim=run.claim, status=JobStatus.RUNNING
    )
    return rows


def _is_current(run: TrainingRun) -> bool:
    return bool(_mine(run).update(heartbeat_at=timezone.now()))


def _lock(folder: Path) -> int | None:
    """The lock that says "this run has a host". Waits for a host that is on its way out."""
    descriptor = os.open(folder / "host.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.5)
        else:
            return descriptor
    os.close(descriptor)
    return None


def _give_back(run: TrainingRun) -> None:
    """Wait for the device or the next start: the reaper queues the run again. Waiting is no failed attempt."""
    jobs.give_back(run, attempt=0)


def _supervise(host: Host) -> int:
    workdir.prepare(host.run)
    while True:
        workdir.ask(host.folder, "")
        host.asked = ""
        host.engine = _start_engine(host)
        code = _follow(host)
        if code is None:
            return 3
        if code < 0 and host.restarts < ENGINE_RESTARTS and not host.leaving:
            host.restarts += 1
            log.warning("training engine died", extra={"run": str(host.run.uid), "signal": -code})
            continue
        return _end(host, code)


def _start_engine(host: Host) -> subprocess.Popen[bytes]:
    output = (host.folder / "engine.log").open("ab")
    engine = subprocess.Popen(
        [sys.executable, "-m", "apps.training.engine", str(host.folder), "--parent-death", str(os.getpid())],
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=without_secrets(LLMOPT_ROLE="host", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1"),
    )
    output.close()
    _mine(host.run).update(engine_pid=engine.pid, engine_started_ticks=_ticks(engine.pid))
    return engine


def _ticks(pid: int) -> int | None:
    """When the process started, by a clock that nobody sets; None when it has ended already."""
    key = process_key(pid)
    return key.started if key else None


def _follow(host: Host) -> int | None:
    """Bring events in until the engine ends. None when the attempt was taken over."""
    assert host.engine is not None
    while True:
        code = host.engine.poll()
        close_old_connections()
        try:
            if not _bring_in(host):
                _stop_engine(host)
                return None
            if code is not None:
                return code
            _keep_device(host)
            _pass_on_requests(host)
        except (DatabaseError, InterfaceError) as error:
            if not is_database_away(error):
                raise
            # The engine needs no database: its events wait in their file until this one is back.
            log.warning("the database is away; training goes on", extra={"run": str(host.run.uid)})
            time.sleep(AWAY_SECONDS)
        time.sleep(POLL_SECONDS)


def _bring_in(host: Host) -> bool:
    offset = TrainingRun.objects.values_list("event_offset", flat=True).get(pk=host.run.pk)
    events, after = workdir.new_events(host.folder, offset)
    for event in events:
        host.last_events[str(event["type"])] = event
    return record_events(host.run, events, offset=after)


def _keep_device(host: Host) -> None:
    """Renew the lease. A host that slept for longer than it lasts may find another run on the device: it gives way."""
    if not lease_take(host.run) and not host.leaving:
        log.warning("another run took the device; this one saves and waits", extra={"run": str(host.run.uid)})
        host.leaving = True


def _pass_on_requests(host: Host) -> None:
    flags = TrainingRun.objects.values("cancel_requested", "pause_requested").get(pk=host.run.pk)
    wanted = "cancel" if flags["cancel_requested"] else "pause" if flags["pause_requested"] or host.leaving else ""
    if wanted and wanted != host.asked:
        workdir.ask(host.folder, wanted)
        host.asked = wanted


def _stop_engine(host: Host) -> None:
    if host.engine is not None and host.engine.poll() is None:
        host.engine.kill()
        host.engine.wait()


def _end(host: Host, code: int) -> int:
    run = host.run
    if code == EXIT_FINISHED:
        finished = host.last_events.get("finished") or _last_finished(host)
        try:
            with _heard(run):
                model_version_register(actor=None, run=run, result=host.folder / "result", finished=finished)
        except Conflict:
            return 3
        except StoredModelDamaged as damaged:
            workdir.forget_result(host.folder)
            _fail(host, str(damaged))
    elif code == EXIT_CANCELLED:
        jobs.finish(run, to=JobStatus.CANCELLED, phase="")
    elif (host.leaving and code < 0) or (code == EXIT_PAUSED and not _stop_is_wanted(run)):
        # A pause that nobody asked for, too: the engine was told to stop by a signal of its own.
        _give_back(run)
    elif code == EXIT_PAUSED:
        jobs.finish(run, to=JobStatus.PAUSED)
    else:
        error = host.last_events.get("error", {})
        _fail(host, failure_text(error) or _engine_died(code))
    live.publish(run, "status")
    return 0


@contextmanager
def _heard(run: TrainingRun) -> Iterator[None]:
    """Heartbeats from a thread: hashing what was trained may take longer than the reaper waits."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(settings.JOB_HEARTBEAT_SECONDS):
            try:
                _is_current(run)
            except (DatabaseError, InterfaceError):
                log.exception("a heartbeat failed", extra={"run": str(run.uid)})
                close_old_connections()
        connection.close()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _stop_is_wanted(run: TrainingRun) -> bool:
    return TrainingRun.objects.filter(Q(pause_requested=True) | Q(cancel_requested=True), pk=run.pk).exists()


def _last_finished(host: Host) -> dict[str, Any]:
    """The `finished` event of an earlier attempt, whose host died between the event and the registration."""
    events, _offset = workdir.new_events(host.folder, 0)
    return next(event for event in reversed(events) if event["type"] == "finished")


def _engine_died(code: int) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return _("The training process ended unexpectedly (%(how)s).") % {"how": how}


def _fail(host: Host, sentence: str) -> None:
    run = host.run
    last = run.checkpoints.last()
    kept = _("The checkpoint at step %(step)d is kept.") % {"step": last.step} if last else _("Nothing was saved yet.")
    with transaction.atomic():
        if jobs.fail(run, error=sentence, kept=kept, next_step=_("Press Retry to go on from there.")):
            training_run_failed(actor=None, run=run)
