"""Queue entry points of this app."""

from apps.core import jobs
from apps.providers.launch import host_start
from apps.providers.models import ModelFetch
from apps.providers.services import language_models_retire


def models_retire() -> None:
    """Every hour: a provider no longer answers for a model whose day has come."""
    language_models_retire(actor=None)


def model_fetch_start(pk: int) -> None:
    """Claim the job and start its host; the claim goes with the host, and this task ends at once."""
    fetch = jobs.claim(ModelFetch, pk)
    if fetch is not None:
        host_start(fetch)
