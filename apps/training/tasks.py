"""Queue entry points of this app."""

from apps.core import jobs
from apps.core.faults import fault_point
from apps.training.launch import host_start
from apps.training.models import TrainingRun


def training_start(pk: int) -> None:
    """Claim the run and start its host; the claim goes with the host, and this task ends at once."""
    run = jobs.claim(TrainingRun, pk)
    if run is None:
        return
    fault_point("claim")
    host_start(run)
    fault_point("spawn")
