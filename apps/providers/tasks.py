"""Queue entry points of this app."""

from apps.core import jobs
from apps.providers.launch import host_start
from apps.providers.models import ModelFetch


def model_fetch_start(pk: int) -> None:
    """Claim the job and start its host; the claim goes with the host, and this task ends at once."""
    fetch = jobs.claim(ModelFetch, pk)
    if fetch is not None:
        host_start(fetch)
