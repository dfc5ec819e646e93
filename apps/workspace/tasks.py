"""Queue entry points of this app."""

from apps.core import jobs
from apps.workspace.models import Quickstart
from apps.workspace.quickstart.service import quickstart_work


def quickstart_advance(pk: int) -> None:
    """Claim the quickstart and advance it for one slice."""
    quickstart = jobs.claim(Quickstart, pk)
    if quickstart is not None:
        quickstart_work(actor=None, quickstart=quickstart)
