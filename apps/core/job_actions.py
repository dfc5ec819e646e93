"""What a page shows of a job: its state in words, and what may be pressed now."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.core.jobs import ENDED
from apps.core.models import JobModel, JobStatus
from apps.core.roles import roles_for


@dataclass(frozen=True)
class JobPart:
    """A job with the actions that its state and the reader's role allow."""

    job: Any
    kind: str
    state: str
    actions: tuple[tuple[str, str], ...]

    @property
    def total(self) -> int | None:
        """None while nobody knows how much there is to do."""
        return self.job.total or None

    @property
    def ended(self) -> bool:
        return self.job.status in ENDED


def job_part(job: JobModel, *, role: str | None) -> JobPart:
    actions = offered_actions(job) if role in roles_for("edit") else ()
    return JobPart(job=job, kind=str(job._meta.model_name), state=shown_state(job), actions=actions)


def shown_state(job: JobModel) -> str:
    """The state to show: a wish that the process has not yet followed is a state of its own."""
    if job.status == JobStatus.RUNNING and job.cancel_requested:
        return "cancelling"
    if job.status == JobStatus.RUNNING and job.pause_requested:
        return "pausing"
    return str(job.status)


def offered_actions(job: JobModel) -> tuple[tuple[str, str], ...]:
    """(action, label) of what the state allows; a wish that is already on its way is not offered again."""
    pause, cancel = ("pause", _("Pause job")), ("cancel", _("Cancel job"))
    if job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        offered = (
            () if job.pause_requested or job.cancel_requested else (pause,),
            () if job.cancel_requested else (cancel,),
        )
        return (*offered[0], *offered[1])
    if job.status == JobStatus.PAUSED:
        return (("resume", _("Resume job")), cancel)
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        return (("resume", _("Retry job")),)
    return ()
