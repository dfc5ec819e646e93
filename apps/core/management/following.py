"""Following a job in a terminal."""

import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError
from django.db import close_old_connections
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from apps.core.jobs import ENDED, phase_text
from apps.core.models import JobStatus

POLL_SECONDS = 0.5
INTERRUPTED = 130


def phase_of(job: Any) -> str:
    return phase_text(job._meta.label, job.phase)


def followed(job: Any, console: Console, label: str, says: Callable[[Any], str] = phase_of) -> Any:
    """Show a bar until the job has ended; CommandError when it did not end well. Ctrl-C leaves the job at work."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task(label, total=None, text="")
            while job.status not in ENDED and job.status != JobStatus.PAUSED:
                progress.update(bar, completed=job.done, total=job.total or None, text=says(job))
                time.sleep(POLL_SECONDS)
                close_old_connections()
                job.refresh_from_db()
    except KeyboardInterrupt as stopped:
        raise CommandError(_("No longer followed: the job goes on."), returncode=INTERRUPTED) from stopped
    if job.status != JobStatus.SUCCEEDED:
        raise CommandError(" ".join(part for part in (job.error or job.get_status_display(), job.error_next) if part))
    return job
