"""Queue entry points of this app."""

from apps.core import jobs
from apps.core.faults import fault_point
from apps.evaluation.models import Evaluation
from apps.evaluation.services.slices import evaluation_slice_work


def evaluation_slice(pk: int) -> None:
    """Claim the evaluation and work on it for at most a minute."""
    evaluation = jobs.claim(Evaluation, pk)
    if evaluation is None:
        return
    fault_point("claim")
    evaluation_slice_work(actor=None, evaluation=evaluation)
