# ruff: noqa: S608 - the fragments put together here are constants of this file; every value is a parameter
"""Every statement that moves money, and nothing else.

Each operation is a generator that yields `(sql, params)` and is sent the rows of that statement (an empty list when
there are none); it returns its outcome. A runner executes all statements of one generator in one transaction. The SQL
is the same for SQLite (3.35 or later, for RETURNING) and PostgreSQL; the one difference is `Moment.lock`.

A reservation is held → settled | released | unknown. Every transition is a compare-and-set on `state`, so of several
processes that try to close a reservation exactly one does. Budget periods are locked and changed in the order of their
ids, and missing ones are added before any is locked, so two operations cannot wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from apps.billing.engine.alert_levels import tell_overrun, tell_refused, tell_spent
from apps.billing.engine.ledger_facts import (
    Closed,
    Hit,
    Hold,
    LedgerError,
    Moment,
    Refused,
    Reserved,
    Row,
    Spent,
    Steps,
    Wait,
    WaitReason,
    as_moment,
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
from apps.billing.engine.provider_room import note_failure, note_success, room_for

__all__ = [
    "Closed",
    "Hit",
    "Hold",
    "LedgerError",
    "Moment",
    "Refused",
    "Reserved",
    "Row",
    "Spent",
    "Steps",
    "Wait",
    "WaitReason",
    "as_moment",
    "book_hit",
    "close_abandoned",
    "correct",
    "find_abandoned",
    "mark_sent",
    "mark_unknown",
    "note_failure",
    "period_key",
    "release",
    "reserve",
    "settle",
]


def reserve(at: Moment, hold: Hold) -> Steps[Reserved | Refused | Wait]:
    """Hold `hold.amount_nanousd` in every budget that covers the call, or in none.

    With no budget the reservation is only recorded. A soft budget counts like any other and refuses nothing. A call
    through a provider's key waits first for room there.
    """
    if hold.amount_nanousd < 0:
        raise LedgerError(f"cannot hold {hold.amount_nanousd} nano-dollars")
    if hold.provider_key_id is not None:
        wait = yield from room_for(at, hold)
        if wait is not None:
            return wait
    budgets = yield from _budgets(at, hold)
    yield from _add_missing_periods(at, budgets)
    periods = yield from _lock_periods(at, budgets)
    by_id = {budget.id: budget for budget in budgets}
    for period in periods:
        _, budget_id, limit, spent, held, *_ = period
        budget = by_id[budget_id]
        if budget.hard and spent + held + hold.amount_nanousd > limit:
            yield from tell_refused(at, period, hold.amount_nanousd)
            return Refused(
                budget_id=budget_id,
                period=budget.period,
                period_key=budget.key,
                experiment_id=budget.experiment_id,
                person_id=budget.person_id,
                api_key_id=budget.api_key_id,
                limit_nanousd=limit,
                spent_nanousd=spent,
                held_nanousd=held,
                needed_nanousd=hold.amount_nanousd,
            )
    reservation_id = yield from _add_reservation(at, hold)
    for period_id, *_ in periods:
        yield (
            "UPDATE billing_budgetperiod SET held_nanousd = held_nanousd + %s WHERE id = %s",
            (hold.amount_nanousd, period_id),
        )
        yield (
            "INSERT INTO billing_reservationhold (reservation_id, budget_period_id) VALUES (%s, %s)",
            (reservation_id, period_id),
        )
    return Reserved(reservation_id, hold.amount_nanousd)


def mark_sent(at: Moment, reservation_id: int) -> Steps[bool]:
    """Record that the request is about to leave. False: the reservation is no longer held, and nothing may be sent."""
    rows = yield (
        "UPDATE billing_reservation SET sent_at = %s WHERE id = %s AND state = 'held' AND sent_at IS NULL RETURNING id",
        (at.now, reservation_id),
    )
    return bool(rows)


def settle(at: Moment, reservation_id: int, spent: Spent, *, answered: bool = True) -> Steps[Closed | None]:
    """Book what the attempt cost and give the rest back. Books the whole amount even when it exceeds the hold.

    `answered`: the provider did its work, so its failures before are over; False for a refusal that costs nothing.

    If a sweep was faster and booked the bound, a correction brings the books to the real amount. None: the reservation
    was already settled or released, and nothing changed.
    """
    rows = yield (
        "UPDATE billing_reservation SET state = 'settled', closed_at = %s WHERE id = %s AND state = 'held' "
        "RETURNING team_id, held_nanousd, provider_key_id",
        (at.now, reservation_id),
    )
    if not rows:
        return (yield from _settle_late(at, reservation_id, spent))
    team_id, held, provider_key_id = rows[0]
    if provider_key_id is not None and answered:
        yield from note_success(provider_key_id)
    uid = yield from _add_entry(at, reservation_id, "settled", spent)
    yield from _move(at, reservation_id, held=-held, spent=spent.amount_nanousd)
    if spent.amount_nanousd > held:
        yield from tell_overrun(at, reservation_id, held=held, amount=spent.amount_nanousd)
    return Closed(reservation_id, team_id, "settled", held, spent.amount_nanousd, uid)


def book_hit(at: Moment, hit: Hit) -> Steps[str]:
    """Record an answer from the cache. No budget is touched. The public id of its entry."""
    uid = hit.uid or at.new_uid()
    yield (
        "INSERT INTO billing_ledgerentry (uid, created_at, team_id, reservation_id, kind, amount_nanousd, "
        "saved_nanousd, experiment_id, language_model_id, person_id, api_key_id, purpose, prompt_tokens, "
        "completion_tokens, cached_prompt_tokens, reasoning_tokens, latency_ms, evidence) "
        "VALUES (%s, %s, %s, NULL, 'cached', 0, %s, %s, %s, %s, %s, %s, %s, %s, 0, 0, %s, '')",
        (
            uid,
            at.now,
            hit.team_id,
            hit.saved_nanousd,
            hit.experiment_id,
            hit.language_model_id,
            hit.person_id,
            hit.api_key_id,
            hit.purpose,
            hit.prompt_tokens,
            hit.completion_tokens,
            hit.latency_ms,
        ),
    )
    return uid


def release(at: Moment, reservation_id: int) -> Steps[Closed | None]:
    """Give the money back. Only for a request that provably never left. None: the reservation was already closed."""
    rows = yield (
        "UPDATE billing_reservation SET state = 'released', closed_at = %s WHERE id = %s AND state = 'held' "
        "RETURNING team_id, held_nanousd",
        (at.now, reservation_id),
    )
    if not rows:
        return None
    team_id, held = rows[0]
    yield from _move(at, reservation_id, held=-held, spent=0)
    return Closed(reservation_id, team_id, "released", held, 0)


def mark_unknown(at: Moment, reservation_id: int, evidence: str, uid: str = "") -> Steps[Closed | None]:
    """Book the bound of an attempt whose cost nobody knows. None: the reservation was already closed."""
    rows = yield (
        "UPDATE billing_reservation SET state = 'unknown', closed_at = %s WHERE id = %s AND state = 'held' "
        "RETURNING team_id, held_nanousd",
        (at.now, reservation_id),
    )
    if not rows:
        return None
    team_id, held = rows[0]
    return (yield from _book_bound(at, reservation_id, team_id, held, evidence, uid))


def find_abandoned(at: Moment, dead_holders: Sequence[str], limit: int = 500) -> Steps[list[int]]:
    """Ids of held reservations that are past their time or whose process is dead, oldest first."""
    condition, params = _abandoned(at, dead_holders)
    rows = yield (f"SELECT id FROM billing_reservation WHERE {condition} ORDER BY id LIMIT %s", (*params, limit))
    return [row[0] for row in rows]


def close_abandoned(at: Moment, reservation_id: int, dead_holders: Sequence[str]) -> Steps[Closed | None]:
    """Close one reservation of a dead process: released if its request was never sent, else booked at its bound."""
    condition, params = _abandoned(at, dead_holders)
    rows = yield (
        "UPDATE billing_reservation SET closed_at = %s, "
        "state = CASE WHEN sent_at IS NULL THEN 'released' ELSE 'unknown' END "
        f"WHERE id = %s AND {condition} RETURNING state, team_id, held_nanousd, sent_at, holder",
        (at.now, reservation_id, *params),
    )
    if not rows:
        return None
    state, team_id, held, sent_at, holder = rows[0]
    if state == "released":
        yield from _move(at, reservation_id, held=-held, spent=0)
        return Closed(reservation_id, team_id, "released", held, 0)
    evidence = f"Sent at {sent_at} by {holder or 'a process'}, which ended without recording an answer."
    return (yield from _book_bound(at, reservation_id, team_id, held, evidence))


def correct(at: Moment, reservation_id: int, amount_nanousd: int, evidence: str) -> Steps[Closed]:
    """Add a second entry, so that the books show `amount_nanousd` in total for this reservation.

    LedgerError if the reservation is still open, was released, or the amount is negative.
    """
    if amount_nanousd < 0:
        raise LedgerError(f"a reservation cannot have cost {amount_nanousd} nano-dollars")
    rows = yield (
        f"SELECT state, team_id, held_nanousd FROM billing_reservation WHERE id = %s{at.lock}",
        (reservation_id,),
    )
    if not rows or rows[0][0] not in {"settled", "unknown"}:
        raise LedgerError(f"reservation {reservation_id} has no entry to correct")
    _, team_id, held = rows[0]
    return (yield from _correct(at, reservation_id, team_id, held, Spent(amount_nanousd, evidence=evidence)))


@dataclass(frozen=True, slots=True)
class _BudgetAtMoment:
    id: int
    period: str
    key: str
    hard: bool
    experiment_id: int | None
    person_id: int | None
    api_key_id: int | None


def _budgets(at: Moment, hold: Hold) -> Steps[list[_BudgetAtMoment]]:
    """Budgets of the team, and of what the call is for and from, in the order of their ids."""
    rows = yield (
        "SELECT b.id, b.period, b.hard, b.experiment_id, b.person_id, b.api_key_id, t.time_zone "
        f"FROM billing_budget b JOIN accounts_team t ON t.id = b.team_id WHERE {COVERING} ORDER BY b.id",
        covering_values(hold),
    )
    return [
        _BudgetAtMoment(budget_id, period, period_key(period, at.now, time_zone), bool(hard), experiment, person, key)
        for budget_id, period, hard, experiment, person, key, time_zone in rows
    ]


def _which(budgets: Sequence[_BudgetAtMoment]) -> tuple[str, tuple[object, ...]]:
    condition = " OR ".join("(budget_id = %s AND key = %s)" for _ in budgets)
    return condition, tuple(value for budget in budgets for value in (budget.id, budget.key))


def _add_missing_periods(at: Moment, budgets: Sequence[_BudgetAtMoment]) -> Steps[None]:
    if not budgets:
        return
    condition, params = _which(budgets)
    rows = yield (f"SELECT budget_id FROM billing_budgetperiod WHERE {condition}", params)
    present = {row[0] for row in rows}
    for budget in budgets:
        if budget.id not in present:
            # The limit as it is now, and the budget locked: a change of it in between would find no period to change.
            yield (
                "INSERT INTO billing_budgetperiod "
                "(uid, created_at, budget_id, key, limit_nanousd, spent_nanousd, held_nanousd, told_percent, "
                "told_refusal) "
                "SELECT %s, %s, b.id, %s, b.limit_nanousd, 0, 0, 0, false "
                f"FROM billing_budget b WHERE b.id = %s{at.lock} "
                "ON CONFLICT (budget_id, key) DO NOTHING",
                (at.new_uid(), at.now, budget.key, budget.id),
            )


def _lock_periods(at: Moment, budgets: Sequence[_BudgetAtMoment]) -> Steps[list[Row]]:
    """(id, budget, limit, spent, held, what was told) of each budget's current period, locked in the order of ids."""
    if not budgets:
        return []
    condition, params = _which(budgets)
    rows = yield (
        "SELECT id, budget_id, limit_nanousd, spent_nanousd, held_nanousd, told_percent, told_refusal "
        f"FROM billing_budgetperiod WHERE {condition} ORDER BY id{at.lock}",
        params,
    )
    if len(rows) != len(budgets):
        raise LedgerError(f"{len(budgets)} budgets cover this call, but {len(rows)} of their periods exist")
    return rows


def _add_reservation(at: Moment, hold: Hold) -> Steps[int]:
    rows = yield (
        f"INSERT INTO billing_reservation ({RESERVATION_COLUMNS}) VALUES ({RESERVATION_MARKS}) RETURNING id",
        reservation_values(at, hold),
    )
    return int(rows[0][0])


def _add_entry(at: Moment, reservation_id: int, kind: str, spent: Spent) -> Steps[str]:
    """An entry with all that its reservation says of the call, and its public id."""
    uid = spent.uid or at.new_uid()
    yield (
        f"INSERT INTO billing_ledgerentry ({ENTRY_COLUMNS}) SELECT {ENTRY_MARKS} FROM billing_reservation "
        "WHERE id = %s",
        (*entry_values(at, uid, kind, spent), reservation_id),
    )
    return uid


def _move(at: Moment, reservation_id: int, *, held: int, spent: int) -> Steps[None]:
    """Change what is held and spent in every period that the reservation holds money in, and tell a level reached."""
    rows = yield (
        "SELECT budget_period_id FROM billing_reservationhold WHERE reservation_id = %s ORDER BY budget_period_id",
        (reservation_id,),
    )
    for (period_id,) in rows:
        ((limit, now_spent, percent),) = yield (
            "UPDATE billing_budgetperiod SET held_nanousd = held_nanousd + %s, spent_nanousd = spent_nanousd + %s "
            "WHERE id = %s RETURNING limit_nanousd, spent_nanousd, told_percent",
            (held, spent, period_id),
        )
        if spent > 0:
            yield from tell_spent(at, period_id, limit=limit, spent=now_spent, told_percent=percent)


def _book_bound(
    at: Moment, reservation_id: int, team_id: int, held: int, evidence: str, uid: str = ""
) -> Steps[Closed]:
    uid = yield from _add_entry(at, reservation_id, "unknown", Spent(held, evidence=evidence, uid=uid))
    yield from _move(at, reservation_id, held=-held, spent=held)
    return Closed(reservation_id, team_id, "unknown", held, held, uid)


def _settle_late(at: Moment, reservation_id: int, spent: Spent) -> Steps[Closed | None]:
    rows = yield (
        f"SELECT state, team_id, held_nanousd FROM billing_reservation WHERE id = %s{at.lock}",
        (reservation_id,),
    )
    if not rows or rows[0][0] != "unknown":
        return None
    _, team_id, held = rows[0]
    return (yield from _correct(at, reservation_id, team_id, held, spent))


def _correct(at: Moment, reservation_id: int, team_id: int, held: int, spent: Spent) -> Steps[Closed]:
    rows = yield (
        "SELECT amount_nanousd FROM billing_ledgerentry WHERE reservation_id = %s ORDER BY id",
        (reservation_id,),
    )
    before = sum(row[0] for row in rows)
    difference = spent.amount_nanousd - before
    late = "The answer arrived after the attempt had been given up and its bound booked."
    entry = replace(spent, amount_nanousd=difference, evidence=spent.evidence or late, uid="")
    uid = yield from _add_entry(at, reservation_id, "correction", entry)
    yield from _move(at, reservation_id, held=0, spent=difference)
    if spent.amount_nanousd > max(held, before):
        yield from tell_overrun(at, reservation_id, held=held, amount=spent.amount_nanousd)
    return Closed(reservation_id, team_id, "corrected", held, spent.amount_nanousd, uid)


def _abandoned(at: Moment, dead_holders: Sequence[str]) -> tuple[str, tuple[object, ...]]:
    if not dead_holders:
        return "state = 'held' AND expires_at < %s", (at.now,)
    marks = ", ".join("%s" for _ in dead_holders)
    return f"state = 'held' AND (expires_at < %s OR holder IN ({marks}))", (at.now, *dead_holders)
