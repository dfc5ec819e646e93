# ruff: noqa: S608 - the fragments put together here are constants of this file; every value is a parameter
"""Whether a provider's key has room for one more call: calls at once, calls in a minute, and what the provider said.

Part of the ledger: `reserve` asks here inside its own transaction, so that the calls under way are exactly the held
reservations. The state of a key is one row, locked before any budget's.

A provider that failed several times in a row is left alone for a while, and then asked with one call at a time until
one succeeds (a circuit breaker: M. Nygard, "Release It!", 2007).
"""

from datetime import timedelta

from apps.billing.engine.ledger_facts import Hold, Moment, Statement, Steps, Wait, as_moment

# So many failures in a row open the circuit, for longer each time.
FAILURES_TO_OPEN = 5
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 120.0
# While the one call that may go through is under way, others wait.
PROBE_SECONDS = 10.0
# A provider may ask for so much patience at most; a longer time is more likely a clock that was set.
LONGEST_WAIT_SECONDS = 600.0
# How soon a call that found no room looks again: held calls end at any moment.
LOOK_AGAIN_SECONDS = 0.1
MINUTE = timedelta(seconds=60)
_UNDER_WAY = "FROM billing_reservation WHERE provider_key_id = %s AND state = 'held'"
_OF_THE_MINUTE = "FROM billing_reservation WHERE provider_key_id = %s AND created_at > %s AND created_at <= %s"


def room_for(at: Moment, hold: Hold) -> Steps[Wait | None]:
    """None: the call may be made now. The caller must make its reservation in the same transaction."""
    key = hold.provider_key_id
    yield (
        "INSERT INTO billing_providerstate (provider_key_id, failures) VALUES (%s, 0) "
        "ON CONFLICT (provider_key_id) DO NOTHING",
        (key,),
    )
    ((not_before, failures),) = yield (
        f"SELECT not_before, failures FROM billing_providerstate WHERE provider_key_id = %s{at.lock}",
        (key,),
    )
    if not_before is not None:
        left = (as_moment(not_before) - at.now).total_seconds()
        if 0 < left <= LONGEST_WAIT_SECONDS:
            return Wait(left, "provider_failing" if failures >= FAILURES_TO_OPEN else "asked_to_wait")
    wait = yield from _counted_room(at, hold)
    if wait is None and failures >= FAILURES_TO_OPEN:
        yield (
            "UPDATE billing_providerstate SET not_before = %s WHERE provider_key_id = %s",
            (at.now + timedelta(seconds=PROBE_SECONDS), key),
        )
    return wait


def locked_state(hold: Hold) -> Statement:
    """Locks the state of the key. What counts calls has to be a later statement: it must see what committed while this
    one waited.
    """
    return (
        "SELECT id FROM billing_providerstate WHERE provider_key_id = %s FOR NO KEY UPDATE",
        (hold.provider_key_id,),
    )


def room_condition(at: Moment, hold: Hold) -> Statement:
    """True only where `room_for` finds room and has nothing to write. For a statement after `locked_state`."""
    key = hold.provider_key_id
    conditions = [
        "EXISTS (SELECT 1 FROM billing_providerstate s WHERE s.provider_key_id = %s AND s.failures < %s "
        "AND (s.not_before IS NULL OR s.not_before <= %s))"
    ]
    values: list[object] = [key, FAILURES_TO_OPEN, at.now]
    if hold.max_concurrency is not None:
        conditions.append(f"(SELECT COUNT(*) {_UNDER_WAY}) < %s")
        values += [key, hold.max_concurrency]
    if hold.requests_per_minute is not None:
        conditions.append(f"(SELECT COUNT(*) {_OF_THE_MINUTE}) < %s")
        values += [key, at.now - MINUTE, at.now, hold.requests_per_minute]
    return " AND ".join(conditions), tuple(values)


def note_success(provider_key_id: int) -> Steps[None]:
    """The provider answered: its failures are over."""
    yield (
        "UPDATE billing_providerstate SET failures = 0, not_before = NULL "
        "WHERE provider_key_id = %s AND (failures > 0 OR not_before IS NOT NULL)",
        (provider_key_id,),
    )


def note_failure(at: Moment, provider_key_id: int, *, counts: bool, retry_after: float | None) -> Steps[None]:
    """The provider did not answer (`counts`), or asked for patience: nobody calls it before then."""
    rows = yield (
        "UPDATE billing_providerstate SET failures = failures + %s WHERE provider_key_id = %s RETURNING failures",
        (1 if counts else 0, provider_key_id),
    )
    failures = int(rows[0][0]) if rows else 0
    pause = min(retry_after or 0.0, LONGEST_WAIT_SECONDS)
    if failures >= FAILURES_TO_OPEN:
        longer = min(FIRST_PAUSE_SECONDS * 2 ** min(failures - FAILURES_TO_OPEN, 10), LONGEST_PAUSE_SECONDS)
        pause = max(pause, longer)
    if pause > 0:
        until = at.now + timedelta(seconds=pause)
        yield (
            "UPDATE billing_providerstate SET not_before = %s "
            "WHERE provider_key_id = %s AND (not_before IS NULL OR not_before < %s)",
            (until, provider_key_id, until),
        )


def _counted_room(at: Moment, hold: Hold) -> Steps[Wait | None]:
    if hold.max_concurrency is not None:
        ((under_way,),) = yield (f"SELECT COUNT(*) {_UNDER_WAY}", (hold.provider_key_id,))
        if under_way >= hold.max_concurrency:
            return Wait(LOOK_AGAIN_SECONDS, "concurrency")
    if hold.requests_per_minute is not None:
        ((made, first),) = yield (
            f"SELECT COUNT(*), MIN(created_at) {_OF_THE_MINUTE}",
            (hold.provider_key_id, at.now - MINUTE, at.now),
        )
        if made >= hold.requests_per_minute:
            left = (as_moment(first) + MINUTE - at.now).total_seconds()
            return Wait(max(left, LOOK_AGAIN_SECONDS), "requests_per_minute")
    return None
