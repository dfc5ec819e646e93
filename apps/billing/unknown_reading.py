"""Attempts whose cost nobody knows: booked at their bound, until somebody finds out and corrects them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from apps.accounts.models import Team
from apps.billing.models import LedgerEntry, Reservation
from apps.core.access import fetch_for_user

_CORRECTIONS = LedgerEntry.objects.filter(reservation=OuterRef("reservation"), kind=LedgerEntry.Kind.CORRECTION)


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """The entry at the bound, and those that corrected it, oldest first. `now_nanousd` is what the books show."""

    entry: LedgerEntry
    reservation: Reservation
    corrections: list[LedgerEntry]

    @property
    def now_nanousd(self) -> int:
        return int(self.entry.amount_nanousd + sum(each.amount_nanousd for each in self.corrections))


def unknown_entries(team: Team) -> QuerySet[LedgerEntry]:
    """Entries at their bound: those that nobody corrected first, then the newest."""
    found = LedgerEntry.objects.filter(team=team, kind=LedgerEntry.Kind.UNKNOWN)
    return (
        found.select_related("reservation", "language_model", "experiment", "person", "api_key")
        .annotate(corrected=Exists(_CORRECTIONS))
        .order_by("corrected", "-id")
    )


def unknown_rows(entries: Iterable[LedgerEntry]) -> list[UnknownRow]:
    """The given entries with their corrections, in one query."""
    shown = list(entries)
    corrections: dict[int | None, list[LedgerEntry]] = {}
    of_them = LedgerEntry.objects.filter(
        kind=LedgerEntry.Kind.CORRECTION, reservation__in=[each.reservation_id for each in shown]
    )
    for each in of_them.order_by("id"):
        corrections.setdefault(each.reservation_id, []).append(each)
    return [
        UnknownRow(each, each.reservation, corrections.get(each.reservation_id, []))
        for each in shown
        if each.reservation is not None  # a constraint says that only answers from the cache have none
    ]


def unknown_row(*, user: Any, team: Team, uid: Any, action: str = "view") -> UnknownRow:
    """The attempt with this reservation's uid."""
    found = fetch_for_user(Reservation, user, action, team=team, uid=uid, state=Reservation.State.UNKNOWN)
    return unknown_rows(unknown_entries(team).filter(reservation=found))[0]


def uncorrected(team: Team | None = None) -> QuerySet[LedgerEntry]:
    """Entries at their bound that nobody corrected, of one team or of all."""
    found = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.UNKNOWN).exclude(Exists(_CORRECTIONS))
    return found if team is None else found.filter(team=team)
