"""Starting the process that brings a model in, outside the queue: a download may take an hour."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.core.processes.environment import without_provider_secrets
from apps.core.processes.tree import ProcessKey, send_signal
from apps.providers.models import ModelFetch


def host_start(fetch: ModelFetch) -> int:
    """Start the host as a detached group leader, so that a queue that restarts does not end it."""
    logs = Path(settings.VAR_DIR) / "log"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "model-import.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "model_fetch_host", str(fetch.pk), "--claim", fetch.claim],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=without_provider_secrets(LLMOPT_ROLE="fetch"),
        )
    return process.pid


def host_may_resume(fetch: Any) -> bool:
    """Called for a job without a heartbeat: end what is left of the old host. True when nothing is left."""
    if fetch.host_pid is None or fetch.host_started_ticks is None:
        return True
    return not send_signal(ProcessKey(fetch.host_pid, fetch.host_started_ticks), signal.SIGKILL)
