"""What must hold in the database when a run has ended, however often it was interrupted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import Count, Q

from apps.billing.models import LedgerEntry, Reservation
from apps.billing.selectors import ledger_balance_problems
from apps.core.jobs import kinds
from apps.core.models import JobStatus
from apps.evaluation.models import Evaluation, Output
from apps.training.models import ModelVersion

# A cluster that lost a worker may end itself, and all its calls, this long after it.
CONSEQUENCE = timedelta(seconds=10)


def problems(*, deaths: Sequence[float] = ()) -> list[str]:
    """Sentences about what is wrong; empty when all is well. `deaths` are when something was killed (Unix time)."""
    return [*_rows(), *money_problems(), *unknown_problems(deaths), *ledger_balance_problems()]


def facts() -> dict[str, int]:
    """Counts worth printing."""
    return {
        "outputs": Output.objects.count(),
        "settled": LedgerEntry.objects.filter(kind=LedgerEntry.Kind.SETTLED).count(),
        "unknown": LedgerEntry.objects.filter(kind=LedgerEntry.Kind.UNKNOWN).count(),
        "released": Reservation.objects.filter(state=Reservation.State.RELEASED).count(),
    }


def _rows() -> list[str]:
    found = []
    versions = ModelVersion.objects.count()
    if versions != 1:
        found.append(f"{versions} model versions instead of one")
    for evaluation in Evaluation.objects.annotate(stored=Count("outputs")):
        if evaluation.stored != len(evaluation.example_ids) * evaluation.repeats:
            found.append(f"{evaluation}: {evaluation.stored} outputs of {len(evaluation.example_ids)}")
    for kind in kinds():
        for row in kind.model_class.objects.exclude(status=JobStatus.SUCCEEDED):
            found.append(f"{kind.model} {row}: {row.status}")
    return found


def money_problems() -> list[str]:
    """One settled entry per output that a call made, and no entry without one."""
    found = []
    held = Reservation.objects.filter(state=Reservation.State.HELD).count()
    if held:
        found.append(f"{held} reservations are still held")
    settled = Count("reservation__entries", filter=Q(reservation__entries__kind=LedgerEntry.Kind.SETTLED))
    # For an answer from the cache, and where no prompt could be made, nothing was called and nothing is owed.
    free = Q(cached=True) | Q(error=Output.PROMPT_FAILED)
    unpaid = Output.objects.exclude(free).annotate(settled=settled).exclude(settled=1).count()
    if unpaid:
        found.append(f"{unpaid} outputs without exactly one settled entry")
    charged = Output.objects.filter(free, reservation__isnull=False).count()
    if charged:
        found.append(f"{charged} outputs that no call made have a reservation")
    loose = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.SETTLED, reservation__outputs=None).count()
    if loose:
        found.append(f"{loose} settled entries without an output")
    unsent = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.UNKNOWN, reservation__sent_at=None).count()
    if unsent:
        found.append(f"{unsent} unknown entries for attempts that were never sent")
    return found


def unknown_problems(deaths: Sequence[float]) -> list[str]:
    """As many unknown entries at most as attempts that a death interrupted between send and settle."""
    times = [datetime.fromtimestamp(at, UTC) for at in deaths]
    interrupted = Q(pk__in=[])
    for at in times:
        interrupted |= Q(reservation__sent_at__lte=at + CONSEQUENCE, reservation__closed_at__gte=at)
    loose = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.UNKNOWN).exclude(interrupted).count()
    return [f"{loose} unknown entries for attempts that nothing interrupted"] if loose else []
