# ruff: noqa: S608 - the fragments put together here are constants of this file; every value is a parameter
"""When somebody is told about a budget: the statements that record it, inside the transaction that moves the money.

A level counts what is *spent*, never what is held: held money mostly comes back, and whoever is told at 80 % should
find 80 % in the books. Levels are 50, 80 and 100 % of the limit. Who passes several in one step is told the highest
alone: three messages about one moment say less than one. 100 % is also reached when a hard budget refuses a call for
want of money, since its last cents may never be spent: a call that would fit into the whole limit, and not into what is
left of it, even if everything held came back. Any other refusal (held money fills the budget for a while; one call may
cost more than the whole limit) is told once by itself, and takes no level's place.

Each is told once for a budget, a period and a limit. Whoever changes the limit knows what is spent, so the levels below
that are not told again; those above it are. What was told stands on the period's row, which is locked anyway, so a call
that reaches no level costs no statement; a unique constraint holds it besides.
"""

from apps.billing.engine.ledger_facts import Moment, Row, Steps

LEVELS = (50, 80, 100)
FULL = LEVELS[-1]

_COLUMNS = (
    "(uid, created_at, team_id, kind, level, budget_period_id, language_model_id, day, limit_nanousd, spent_nanousd, "
    "held_nanousd, needed_nanousd)"
)

# The same on PostgreSQL inside a statement that moves money. Of `p`, a period before, and `period.spent`, what is spent
# after; without a product that a limit could make too large for its type.
LEVEL_REACHED = (
    "CASE "
    + " ".join(
        f"WHEN period.spent >= {level} * (p.limit_nanousd / 100) + ({level} * (p.limit_nanousd %% 100) + 99) / 100 "
        f"THEN {level}"
        for level in reversed(LEVELS)
    )
    + " ELSE 0 END"
)
# Of `moved`, the periods after. Each alert's public id ends in its period's, so that one is enough for all.
TELL_LEVELS = (
    f"INSERT INTO billing_alert {_COLUMNS} "
    "SELECT overlay(%s::text PLACING lpad(to_hex(m.id & 4294967295), 8, '0') FROM 25)::uuid, %s, b.team_id, 'spent', "
    "m.level, m.id, NULL, NULL, m.limit_nanousd, m.spent_nanousd, m.held_nanousd, NULL "
    "FROM moved m JOIN billing_budget b ON b.id = m.budget_id "
    "WHERE m.level > m.told AND b.closed_at IS NULL ON CONFLICT DO NOTHING"
)


def level_values(at: Moment) -> tuple[object, ...]:
    """What `TELL_LEVELS` needs."""
    return (at.new_uid(), at.now)


def level_reached(spent_nanousd: int, limit_nanousd: int) -> int:
    """The highest level that what is spent has reached; 0 below all of them."""
    return max((level for level in LEVELS if spent_nanousd >= spent_at(level, limit_nanousd)), default=0)


def spent_at(level: int, limit_nanousd: int) -> int:
    """The least that has to be spent for a level."""
    return -(-level * limit_nanousd // 100)


def tell_spent(
    at: Moment, period_id: int, *, limit: int, spent: int, told_percent: int, needed: int | None = None
) -> Steps[None]:
    """Record the level that is reached, unless it or a higher one was told. `needed`: a call was refused for it."""
    level = FULL if needed is not None else level_reached(spent, limit)
    if level <= told_percent:
        return
    yield ("UPDATE billing_budgetperiod SET told_percent = %s WHERE id = %s", (level, period_id))
    yield from _add(at, period_id, "spent", level, needed)


def tell_refused(at: Moment, period: Row, needed: int) -> Steps[None]:
    """Record that a hard budget refused a call that may cost `needed`; `period` is its row as the ledger locks it."""
    period_id, _budget, limit, spent, _held, told_percent, told_refusal = period
    if spent + needed > limit >= needed:
        yield from tell_spent(at, period_id, limit=limit, spent=spent, told_percent=told_percent, needed=needed)
    elif not told_refusal and told_percent < FULL:
        yield ("UPDATE billing_budgetperiod SET told_refusal = %s WHERE id = %s", (True, period_id))
        yield from _add(at, period_id, "refused", 0, needed)


def tell_overrun(at: Moment, reservation_id: int, *, held: int, amount: int) -> Steps[None]:
    """Record that a call cost more than was held for it: once for its model and day, however many follow."""
    yield (
        f"INSERT INTO billing_alert {_COLUMNS} "
        "SELECT %s, %s, team_id, 'overrun', 0, NULL, language_model_id, %s, 0, %s, %s, NULL "
        "FROM billing_reservation WHERE id = %s ON CONFLICT DO NOTHING",
        (at.new_uid(), at.now, at.now.date().isoformat(), amount, held, reservation_id),
    )


def _add(at: Moment, period_id: int, kind: str, level: int, needed: int | None) -> Steps[None]:
    """An alert with both numbers as they stand now. A closed budget tells nothing any more."""
    yield (
        f"INSERT INTO billing_alert {_COLUMNS} "
        "SELECT %s, %s, b.team_id, %s, %s, p.id, NULL, NULL, p.limit_nanousd, p.spent_nanousd, p.held_nanousd, %s "
        "FROM billing_budgetperiod p JOIN billing_budget b ON b.id = p.budget_id "
        "WHERE p.id = %s AND b.closed_at IS NULL ON CONFLICT DO NOTHING",
        (at.new_uid(), at.now, kind, level, needed, period_id),
    )
