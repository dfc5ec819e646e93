# ruff: noqa: S608 - the fragments put together here are constants of this package; every value is a parameter
"""The two operations that every answered call needs, as statements that wait for nothing in between. PostgreSQL alone.

Each does the whole of what its long form in `ledger` does, or nothing at all: then it says None, and the long form is
asked, which also finds out why. So a short form admits no call that the long one would refuse, and knows no reason for
a refusal. Locks are taken in the order of the long forms: the state of the provider's key, the reservation, the budget
periods by id.

The statements of several operations may share a transaction; each must have a snapshot of its own (READ
COMMITTED), which it takes after the statement before it has waited for its lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from apps.billing.engine.alert_levels import LEVEL_REACHED, TELL_LEVELS, level_values
from apps.billing.engine.ledger_facts import (
    Closed,
    Hold,
    LedgerError,
    Moment,
    Reserved,
    Row,
    Spent,
    Statement,
    Upsert,
    period_key,
)
from apps.billing.engine.ledger_sql import (
    COVERING,
    ENTRY_COLUMNS,
    ENTRY_MARKS,
    RESERVATION_COLUMNS,
    RESERVATION_MARKS,
    covering_values,
    entry_values,
    reservation_values,
)
from apps.billing.engine.provider_room import locked_state, room_condition

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AtOnce(Generic[T]):
    """One statement and what its rows mean; `lock` has to be executed before it, in the same transaction."""

    statement: Statement
    outcome: Callable[[Sequence[Row]], T | None]
    lock: Statement | None = None


def reserve(at: Moment, hold: Hold, time_zone: str) -> AtOnce[Reserved]:
    """`ledger.reserve` where every budget has room and its period, and the provider's key has room.

    `time_zone` is the team's as the caller remembers it; the statement admits nothing if it has changed.
    """
    if hold.amount_nanousd < 0:
        raise LedgerError(f"cannot hold {hold.amount_nanousd} nano-dollars")
    room, room_values = room_condition(at, hold) if hold.provider_key_id is not None else ("TRUE", ())
    statement = (
        _RESERVE.replace("/*room*/", room),
        (
            period_key("monthly", at.now, time_zone),
            period_key("daily", at.now, time_zone),
            *covering_values(hold),
            hold.amount_nanousd,
            hold.team_id,
            time_zone,
            *room_values,
            *reservation_values(at, hold),
            hold.amount_nanousd,
        ),
    )
    lock = locked_state(hold) if hold.provider_key_id is not None else None
    return AtOnce(statement, lambda rows: Reserved(int(rows[0][0]), hold.amount_nanousd) if rows else None, lock)


def settle(at: Moment, reservation_id: int, spent: Spent, keep: Upsert | None = None) -> AtOnce[Closed]:
    """`ledger.settle` of an answered call that is still held, cost no more than that, and went through a key of which
    nothing has to be forgiven.

    `keep` is a row that is written exactly if the entry is.
    """
    uid = spent.uid or at.new_uid()

    def outcome(rows: Sequence[Row]) -> Closed | None:
        if not rows:
            return None
        team_id, held = rows[0]
        return Closed(reservation_id, team_id, "settled", held, spent.amount_nanousd, uid)

    also, also_values = ("", ()) if keep is None else keep.if_any_of("closed")
    values = (
        at.now,
        reservation_id,
        spent.amount_nanousd,
        *entry_values(at, uid, "settled", spent),
        spent.amount_nanousd,
        *level_values(at),
        *also_values,
    )
    sql = _SETTLE.replace("/*keep*/", f", kept AS ({also})" if also else "")
    return AtOnce((sql, values), outcome)


# Rows that are locked here are read as they are once the lock is there; the update then changes just those.
_RESERVE = f"""
WITH budget AS (
  SELECT b.id, b.hard, CASE b.period WHEN 'monthly' THEN %s WHEN 'daily' THEN %s ELSE 'total' END AS key
  FROM billing_budget b WHERE {COVERING}
), period AS (
  SELECT p.id, b.hard, p.limit_nanousd, p.spent_nanousd, p.held_nanousd
  FROM billing_budgetperiod p JOIN budget b ON p.budget_id = b.id AND p.key = b.key ORDER BY p.id FOR NO KEY UPDATE OF p
), verdict AS (
  SELECT (SELECT COUNT(*) FROM period) = (SELECT COUNT(*) FROM budget)
    AND NOT EXISTS (SELECT 1 FROM period WHERE hard AND spent_nanousd + held_nanousd + %s > limit_nanousd)
    AND EXISTS (SELECT 1 FROM accounts_team WHERE id = %s AND time_zone = %s)
    AND /*room*/ AS fits
), reservation AS (
  INSERT INTO billing_reservation ({RESERVATION_COLUMNS})
  SELECT {RESERVATION_MARKS} FROM verdict WHERE fits RETURNING id
), moved AS (
  UPDATE billing_budgetperiod p SET held_nanousd = p.held_nanousd + %s
  FROM period, reservation WHERE p.id = period.id
), hold AS (
  INSERT INTO billing_reservationhold (reservation_id, budget_period_id)
  SELECT reservation.id, period.id FROM reservation, period
)
SELECT id FROM reservation
"""

_SETTLE = f"""
WITH closed AS (
  UPDATE billing_reservation r SET state = 'settled', closed_at = %s
  WHERE r.id = %s AND r.state = 'held' AND r.held_nanousd >= %s AND NOT EXISTS (
    SELECT 1 FROM billing_providerstate s WHERE s.provider_key_id = r.provider_key_id
    AND (s.failures > 0 OR s.not_before IS NOT NULL))
  RETURNING r.*
), entry AS (
  INSERT INTO billing_ledgerentry ({ENTRY_COLUMNS}) SELECT {ENTRY_MARKS} FROM closed
), period AS (
  SELECT p.id, c.held_nanousd, p.spent_nanousd + %s AS spent, p.told_percent AS told
  FROM closed c JOIN billing_reservationhold h ON h.reservation_id = c.id
  JOIN billing_budgetperiod p ON p.id = h.budget_period_id ORDER BY p.id FOR NO KEY UPDATE OF p
), moved AS (
  UPDATE billing_budgetperiod p
  SET held_nanousd = p.held_nanousd - period.held_nanousd, spent_nanousd = period.spent,
    told_percent = GREATEST(period.told, {LEVEL_REACHED})
  FROM period WHERE p.id = period.id
  RETURNING p.id, p.budget_id, p.limit_nanousd, p.spent_nanousd, p.held_nanousd, p.told_percent AS level, period.told
), alert AS (
  {TELL_LEVELS}
)/*keep*/
SELECT team_id, held_nanousd FROM closed
"""
