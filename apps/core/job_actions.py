"""What a page shows of a job: its state in words, and what may be pressed now."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.core.formats import size_text
from apps.core.jobs import AT_WORK, ENDED, kind_of, phase_text
from apps.core.models import JobModel, JobStatus
from apps.core.roles import roles_for

# (action, label of its button, what is asked before it: empty for one that takes nothing away)
Action = tuple[str, str, str]


@dataclass(frozen=True)
class JobPart:
    """A job with the actions that its state and the reader's role allow."""

    job: Any
    kind: str
    state: str
    actions: tuple[Action, ...]

    @property
    def total(self) -> int | None:
        """None while nobody knows how much there is to do."""
        return self.job.total or None

    @property
    def working(self) -> bool:
        """Whether it goes on by itself, looked at or not."""
        return self.job.status in AT_WORK

    @property
    def bytes_text(self) -> str:
        """How far it is in bytes, where bytes are what it counts; else empty."""
        unit = kind_of(self.job).unit_bytes
        if not unit or not self.job.total:
            return ""
        done, total = size_text(self.job.done * unit), size_text(self.job.total * unit)
        return _("%(done)s of %(total)s") % {"done": done, "total": total}

    @property
    def ended(self) -> bool:
        return self.job.status in ENDED

    @property
    def phase(self) -> str:
        """What it is doing, in words."""
        return phase_text(self.job._meta.label, self.job.phase)


def job_part(job: JobModel, *, role: str | None) -> JobPart:
    actions = offered_actions(job) if role in roles_for("edit") else ()
    return JobPart(job=job, kind=str(job._meta.model_name), state=shown_state(job), actions=actions)


def shown_state(job: JobModel) -> str:
    """The state to show: a wish that the process has not yet followed is a state of its own."""
    if job.status in AT_WORK and job.cancel_requested:
        return "cancelling"
    if job.status in AT_WORK and job.pause_requested:
        return "pausing"
    return str(job.status)


def offered_actions(job: JobModel) -> tuple[Action, ...]:
    """What the state allows; a wish that is already on its way is not offered again."""
    pause: Action = ("pause", _("Pause job"), "")
    cancel: Action = ("cancel", _("Cancel job"), cancel_question(job))
    if job.status in AT_WORK:
        offered = (
            () if job.pause_requested or job.cancel_requested else (pause,),
            () if job.cancel_requested else (cancel,),
        )
        return (*offered[0], *offered[1])
    if job.status == JobStatus.PAUSED:
        return (("resume", _("Resume job"), ""), cancel)
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED) and not job.ended_for_good:
        return (("resume", _("Retry job"), ""),)
    return ()


def cancel_question(job: JobModel) -> str:
    """What a person agrees to who cancels the job."""
    if job.has_parts:
        return _("The evaluations and the training that it has started stop with it. What they have finished is kept.")
    return _("The job stops at its next step. What it has finished is kept.")


def pressed_text(job: JobModel, action: str) -> str:
    """What follows from an action, once it is pressed."""
    said = {
        "cancel": (_("The job stops at its next step."), _("The job stops, and what it has started with it.")),
        "pause": (_("The job saves and pauses."), _("The job pauses, and what it has started with it.")),
        "resume": (_("The job goes on."), _("The job goes on, and what it had started with it.")),
    }
    return said[action][job.has_parts]
