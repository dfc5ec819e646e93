"""Starting a host outside the queue, and finding out whether one is still alive."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from apps.core.models import JobStatus
from apps.training.models import TrainingRun


def host_start(run: TrainingRun) -> int:
    """Start the host as a detached group leader, so that nothing that happens to this process reaches it."""
    logs = Path(settings.VAR_DIR) / "log"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "training-host.log").open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "manage.py",
                "training_host",
                str(run.pk),
                "--attempt",
                str(run.attempt),
                "--claim",
                run.claim,
            ],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "LLMOPT_ROLE": "host"},
        )
    return process.pid


def _process(pid: int | None, started_at: float | None) -> psutil.Process | None:
    """The process with this pid *and* start time: a pid alone may belong to somebody else by now."""
    if pid is None or started_at is None:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started_at) < 0.02 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def host_may_resume(run: Any) -> bool:
    """Called for a run without a heartbeat: end what is left of the old attempt. True when nothing is left."""
    remaining = [
        process
        for process in (_process(run.engine_pid, run.engine_started_at), _process(run.host_pid, run.host_started_at))
        if process is not None
    ]
    for process in remaining:
        with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
            process.kill()
    return not remaining


def hosts_ask_to_stop() -> list[int]:
    """Ask every live host to save and stop; the runs go on at the next start. Returns the hosts' pids."""
    pids = []
    for run in TrainingRun.objects.filter(status=JobStatus.RUNNING):
        process = _process(run.host_pid, run.host_started_at)
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
                pids.append(process.pid)
    return pids
