"""Queue entry points of this app."""

from apps.core import jobs
from apps.core.faults import fault_point
from apps.core.models import JobStatus
from apps.training.device import device_is_busy, waits_for_others
from apps.training.launch import host_start
from apps.training.launch import preflight_start as preflight_host_start
from apps.training.models import Preflight, TrainingRun


def training_start(pk: int) -> None:
    """Claim the run and start its host; the claim goes with the host, and this task ends at once.

    While it is another's turn the run stays queued: it is sent again when the device is free, and by the reaper.
    """
    if _must_wait(TrainingRun.objects.filter(pk=pk).first()):
        return
    run = jobs.claim(TrainingRun, pk)
    if run is None:
        return
    fault_point("claim")
    host_start(run)
    fault_point("spawn")


def preflight_start(pk: int) -> None:
    """Claim the preflight and start its host, unless a job has the device: then it waits for that one's end."""
    if _must_wait(Preflight.objects.filter(pk=pk).first()):
        return
    preflight = jobs.claim(Preflight, pk)
    if preflight is not None:
        preflight_host_start(preflight)


def _must_wait(job: TrainingRun | Preflight | None) -> bool:
    return job is not None and job.status == JobStatus.QUEUED and (device_is_busy(job) or waits_for_others(job))
