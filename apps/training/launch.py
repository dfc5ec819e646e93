"""Starting a host outside the queue, and finding out whether one is still alive."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.core.models import JobStatus
from apps.core.processes.environment import without_provider_secrets
from apps.core.processes.tree import ProcessKey, send_signal
from apps.training.models import Preflight, TrainingRun


def host_start(run: TrainingRun) -> int:
    """Start the host as a detached group leader, so that nothing that happens to this process reaches it."""
    return _start("training_host", run)


def preflight_start(preflight: Preflight) -> int:
    """Start the host of a preflight in the same way: it takes longer than a worker may."""
    return _start("training_preflight", preflight)


def _start(command: str, job: TrainingRun | Preflight) -> int:
    logs = Path(settings.VAR_DIR) / "log"
    logs.mkdir(parents=True, exist_ok=True)
    arguments = [command, str(job.pk), "--attempt", str(job.attempt), "--claim", job.claim]
    with (logs / "training-host.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=without_provider_secrets(LLMOPT_ROLE="host"),
        )
    return process.pid


def _noted(pid: int | None, started_ticks: int | None) -> ProcessKey | None:
    return ProcessKey(pid, started_ticks) if pid is not None and started_ticks is not None else None


def host_may_resume(run: Any) -> bool:
    """Called for a run without a heartbeat: end what is left of the old attempt. True when nothing is left."""
    noted = (_noted(run.engine_pid, run.engine_started_ticks), _noted(run.host_pid, run.host_started_ticks))
    killed = [key for key in noted if key is not None and send_signal(key, signal.SIGKILL)]
    return not killed


def preflight_may_resume(preflight: Any) -> bool:
    """The same for a preflight, whose engine ends with its host."""
    noted = _noted(preflight.host_pid, preflight.host_started_ticks)
    return noted is None or not send_signal(noted, signal.SIGKILL)


def hosts_ask_to_stop() -> list[ProcessKey]:
    """Ask every live host to save and stop; the runs go on at the next start. Returns the hosts."""
    running = TrainingRun.objects.filter(status=JobStatus.RUNNING)
    noted = [_noted(run.host_pid, run.host_started_ticks) for run in running]
    return [key for key in noted if key is not None and send_signal(key, signal.SIGTERM)]
