"""What follows a slice of work: the end, the next slice, a pause, or a failure that says what to do."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import audit, jobs, live
from apps.core.db import is_database_away
from apps.core.models import JobStatus
from apps.evaluation.engine.facts import INFRASTRUCTURE
from apps.evaluation.engine.measures import DROPPED_SHARE
from apps.evaluation.models import Evaluation, Score
from apps.evaluation.running import Slice, work_slice
from apps.evaluation.services.leaderboards import leaderboard_refresh

# A killed inference process is back in less than one; after so many in a row nothing will answer by itself.
SILENT_SLICES = 5


def evaluation_slice_work(*, actor: Any, evaluation: Evaluation) -> None:
    """Work on a claimed evaluation and record how the slice ended."""
    try:
        work = work_slice(evaluation)
    except Exception as error:
        if is_database_away(error):
            raise  # the reaper gives the evaluation to another worker, and counts the attempt
        jobs.fail(
            evaluation,
            error=_("This evaluation stopped with an error: %(error)s") % {"error": _first_line(error)},
            kept=_("%(count)d outputs are stored.") % {"count": evaluation.outputs.count()},
            next_step=_("Press Retry: only what is missing runs again."),
        )
        raise
    if not work.lost_claim:
        _conclude(actor, evaluation, work)


def _first_line(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _first_line(error.exceptions[0])
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _conclude(actor: Any, evaluation: Evaluation, work: Slice) -> None:
    if work.finished:
        _finish(actor, evaluation)
    elif work.budget_error is not None:
        jobs.fail(
            evaluation,
            error=work.budget_error.message,
            kept=_("%(count)d outputs are stored.") % {"count": evaluation.outputs.count()},
            next_step=_("Raise the budget under Settings, Budgets, then press Retry: only what is missing runs again."),
        )
    elif work.stop_requested:
        flags = Evaluation.objects.values("cancel_requested").get(pk=evaluation.pk)
        jobs.finish(evaluation, to=JobStatus.CANCELLED if flags["cancel_requested"] else JobStatus.PAUSED)
    elif not work.stored and evaluation.attempt >= SILENT_SLICES:
        jobs.fail(
            evaluation,
            error=_("The model has not answered for %(count)d slices of a minute.") % {"count": evaluation.attempt},
            kept=_("%(count)d outputs are stored.") % {"count": evaluation.outputs.count()},
            next_step=_("See whether the model is served, then press Retry: only what is missing runs again."),
        )
    else:
        jobs.hand_on(evaluation, progressed=work.stored > 0)


def _finish(actor: Any, evaluation: Evaluation) -> None:
    total = evaluation.outputs.count()
    lost = evaluation.outputs.filter(error=INFRASTRUCTURE).count()
    # What is chosen by must have answered everything; a test bears as much as needs no worst and best case.
    bearable = 0 if evaluation.purpose == Evaluation.Purpose.CHOICE else DROPPED_SHARE * total
    if lost > bearable:
        _fail_lost(evaluation, lost=lost, total=total)
        return
    with transaction.atomic():
        if not jobs.finish(evaluation, done=total, total=total, phase=""):
            return
        audit.record(actor=actor, verb="evaluation.finished", target=evaluation, outputs=total)
        live.publish(evaluation.experiment, "candidates")
    if evaluation.purpose == Evaluation.Purpose.FINAL:
        leaderboard_refresh(actor=actor, experiment=evaluation.experiment)


def _fail_lost(evaluation: Evaluation, *, lost: int, total: int) -> None:
    """End as failed and forget the answers that never came, so that Retry asks for them again."""
    missing = evaluation.outputs.filter(error=INFRASTRUCTURE)
    reason = missing.order_by("id").values_list("error_text", flat=True)[0][:300]
    values = {"lost": lost, "total": total, "reason": reason}
    with transaction.atomic():
        failed = jobs.finish(
            evaluation,
            to=JobStatus.FAILED,
            done=total - lost,
            error=_(
                "%(lost)d of %(total)d answers never came, for reasons that are not the candidate's. The first one:"
                " %(reason)s"
            )
            % values,
            error_kept=_("%(count)d outputs are stored.") % {"count": total - lost},
            error_next=_("See whether the model is served, then press Retry: only what is missing runs again."),
        )
        if failed:
            Score.objects.filter(output__in=missing).delete()
            missing.delete()
