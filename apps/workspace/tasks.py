"""Queue entry points of this app."""

from apps.core import jobs
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.service import experiment_run_work


def experiment_run_advance(pk: int) -> None:
    """Claim the quickstart and advance it for one slice."""
    quickstart = jobs.claim(ExperimentRun, pk)
    if quickstart is not None:
        experiment_run_work(actor=None, quickstart=quickstart)
