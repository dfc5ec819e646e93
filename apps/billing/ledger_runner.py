"""The ledger over Django's connection: each operation is one transaction of its own."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.billing.engine import ledger
from apps.billing.engine.ledger import Closed, Hit, Hold, Moment, Refused, Reserved, Row, Spent, Steps, Wait
from apps.billing.errors import BudgetExceeded
from apps.billing.models import Budget, Reservation
from apps.core import audit
from apps.core.formats import money_text
from apps.core.models.base import new_uid

log = logging.getLogger(__name__)

T = TypeVar("T")
# Runs in the transaction that closes a reservation, with how it was closed: None if somebody else was faster.
AndThen = Callable[[Closed | None], None]


def moment() -> Moment:
    """Now, and how this database locks rows."""
    lock = " FOR NO KEY UPDATE" if connection.features.has_select_for_update else ""
    return Moment(now=timezone.now(), new_uid=lambda: new_uid().hex, lock=lock)


def run(steps: Steps[T], *, and_then: Callable[[T], None] | None = None) -> T:
    """Execute an operation, then `and_then(outcome)`, in one transaction; either both happen or neither.

    RuntimeError inside another transaction: money would then be held or spent by a commit that may never come.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        outcome = _drive(steps, cursor)
        if and_then is not None:
            and_then(outcome)
    return outcome


def _drive(steps: Steps[T], cursor: Any) -> T:
    rows: list[Row] | None = None
    while True:
        try:
            sql, params = steps.send(rows) if rows is not None else next(steps)
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome
        cursor.execute(sql, [adapted(value) for value in params])
        rows = cursor.fetchall() if cursor.description is not None else []


def adapted(value: object) -> object:
    """A parameter of a raw statement as the database takes it."""
    # Raw statements must write times exactly as the ORM does, or SQLite would compare two spellings as text.
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def reserve(hold: Hold) -> Reserved | Wait:
    """Hold money for one attempt. BudgetExceeded if a budget has no room; Wait if the provider's key has none."""
    outcome = run(ledger.reserve(moment(), hold))
    if isinstance(outcome, Refused):
        raise budget_exceeded(outcome)
    return outcome


def mark_sent(reservation_id: int) -> bool:
    return run(ledger.mark_sent(moment(), reservation_id))


def settle(
    reservation_id: int, spent: Spent, *, answered: bool = True, and_then: AndThen | None = None
) -> Closed | None:
    """Book an answered attempt; `and_then` runs in the same transaction, whether or not a sweep was faster."""
    return run(ledger.settle(moment(), reservation_id, spent, answered=answered), and_then=_afterwards(and_then))


def book_hit(hit: Hit) -> str:
    """Record an answer from the cache; the public id of its entry. May be a part of the caller's transaction: nothing
    is held or spent.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        return _drive(ledger.book_hit(moment(), hit), cursor)


def note_failure(provider_key_id: int, *, counts: bool, retry_after: float | None) -> None:
    """What a provider's failure means for the next calls through its key."""
    run(ledger.note_failure(moment(), provider_key_id, counts=counts, retry_after=retry_after))


def release(reservation_id: int, *, and_then: AndThen | None = None) -> Closed | None:
    return run(ledger.release(moment(), reservation_id), and_then=_afterwards(and_then))


def mark_unknown(
    reservation_id: int, evidence: str, *, uid: str = "", and_then: AndThen | None = None
) -> Closed | None:
    return run(ledger.mark_unknown(moment(), reservation_id, evidence, uid), and_then=_afterwards(and_then))


def correct(reservation_id: int, amount_nanousd: int, evidence: str, *, and_then: AndThen | None = None) -> Closed:
    return run(ledger.correct(moment(), reservation_id, amount_nanousd, evidence), and_then=_afterwards(and_then))


def sweep(dead_holders: Sequence[str] = ()) -> list[Closed]:
    """Close every reservation whose process is dead or whose time is over; each in a transaction of its own."""
    found = run(ledger.find_abandoned(moment(), dead_holders))
    outcomes = [
        run(ledger.close_abandoned(moment(), reservation_id, dead_holders), and_then=_afterwards(None))
        for reservation_id in found
    ]
    return [outcome for outcome in outcomes if outcome is not None]


def _afterwards(and_then: AndThen | None) -> Callable[[Closed | None], None]:
    def after(outcome: Closed | None) -> None:
        if outcome is not None:
            alert_if_overrun(outcome)
        if and_then is not None:
            and_then(outcome)

    return after


def alert_if_overrun(outcome: Closed) -> None:
    """More was spent than was held: the books show it, and so do the log and the audit trail."""
    if not outcome.overrun_nanousd:
        return
    facts = {"held_nanousd": outcome.held_nanousd, "amount_nanousd": outcome.amount_nanousd}
    reservation = Reservation.objects.get(pk=outcome.reservation_id)
    log.error("a call cost more than was held for it", extra={"reservation": str(reservation.uid), **facts})
    audit.record(actor=None, verb="reservation.overrun", target=reservation, **facts)


def budget_exceeded(refused: Refused) -> BudgetExceeded:
    """The refusal as a sentence: which budget, what is spent and held in it, and what the call would have needed."""
    period = Budget.Period(refused.period).label
    whose = _whose(refused)
    message = _(
        "The budget of %(whose)s (%(period)s, %(limit)s) has no room for this call: %(spent)s is spent, %(held)s is "
        "held, and the call may cost up to %(needed)s. Raise the budget under Settings, Budgets, or wait until "
        "held money comes back."
    ) % {
        "whose": whose,
        "period": f"{period}, {refused.period_key}" if refused.period != Budget.Period.TOTAL else period,
        "limit": money_text(refused.limit_nanousd),
        "spent": money_text(refused.spent_nanousd),
        "held": money_text(refused.held_nanousd),
        "needed": money_text(refused.needed_nanousd),
    }
    return BudgetExceeded(message, refused=refused)


def _whose(refused: Refused) -> str:
    if refused.experiment_id is not None:
        return _("the experiment")
    if refused.person_id is not None:
        return _("the person")
    return _("the API key") if refused.api_key_id is not None else _("the team")
