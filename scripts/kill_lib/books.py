"""What must hold in the database when a run has ended, however often it was interrupted."""

from django.db.models import Count, Q

from apps.billing.models import LedgerEntry, Reservation
from apps.billing.selectors import ledger_balance_problems
from apps.core.jobs import kinds
from apps.core.models import JobStatus
from apps.evaluation.models import Evaluation, Output
from apps.training.models import ModelVersion


def problems() -> list[str]:
    """Sentences about what is wrong; empty when all is well."""
    return [*_rows(), *_money(), *ledger_balance_problems()]


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


def _money() -> list[str]:
    found = []
    held = Reservation.objects.filter(state=Reservation.State.HELD).count()
    if held:
        found.append(f"{held} reservations are still held")
    settled = Count("reservation__entries", filter=Q(reservation__entries__kind=LedgerEntry.Kind.SETTLED))
    paid = Output.objects.annotate(settled=settled).exclude(settled=1).count()
    if paid:
        found.append(f"{paid} outputs without exactly one settled entry")
    loose = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.SETTLED, reservation__outputs=None).count()
    if loose:
        found.append(f"{loose} settled entries without an output")
    unsent = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.UNKNOWN, reservation__sent_at=None).count()
    if unsent:
        found.append(f"{unsent} unknown entries for attempts that were never sent")
    return found
