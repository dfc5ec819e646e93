"""The ledger over an asynchronous psycopg pool: the same operations as ledger_runner, for loops on PostgreSQL.

What every answered call needs (hold, settle) goes there in its short form, `engine.ledger_at_once`. Calls that come
while the database is busy with others of their kind share one transaction, so that one wait for its disk serves all.

A hold is on the disk before its request leaves, but locks nobody out of its budgets until it is there: it is committed
first, seen by everybody, and then waited for together with all others of this process. A settlement need not be on the
disk before its answer is handed on: if a crash of the database's machine takes it back, the hold is still there, and is
booked at its bound.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from apps.billing.engine import ledger, ledger_at_once
from apps.billing.engine.ledger import Closed, Hit, Hold, Moment, Refused, Reserved, Row, Spent, Steps, Wait
from apps.billing.engine.ledger_at_once import AtOnce
from apps.billing.engine.ledger_facts import Statement, Upsert
from apps.billing.ledger_runner import alert_if_overrun, budget_exceeded
from apps.core.db import in_database
from apps.core.models.base import new_uid

log = logging.getLogger(__name__)

T = TypeVar("T")

# At most so many operations share a transaction: the first of them waits for the last.
TOGETHER = 32
# A server that restarts is back within seconds. What has no connection by then is an error.
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.2
# Of the transaction alone, whichever way the server is set.
_WITHOUT_WAITING_FOR_THE_DISK: Statement = ("SELECT set_config('synchronous_commit', 'off', true)", ())
# Writes next to nothing, and its commit waits until all that was committed before is where the server's own setting
# wants it: on the disk, on a second server's too, or nowhere yet.
_WAIT_FOR_THE_DISK: Statement = ("SELECT pg_logical_emit_message(true, 'llmopt', '')", ())


def _moment() -> Moment:
    return Moment(now=timezone.now(), new_uid=lambda: new_uid().hex, lock=" FOR NO KEY UPDATE")


def connection_string() -> str:
    """How to reach the database that Django uses. ImproperlyConfigured unless it is PostgreSQL."""
    if connection.vendor != "postgresql":
        raise ImproperlyConfigured("The asynchronous ledger needs PostgreSQL; on SQLite use in_database.")
    known: dict[str, Any] = connection.get_connection_params()
    # Django hands on some that are psycopg's own, such as how rows are made.
    of_libpq = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    return make_conninfo(**{name: known[name] for name in known if name in of_libpq and known[name]})


def alike(hold: Hold) -> tuple[int | None, ...]:
    """Equal for calls that hold money in the same budgets and go through the same provider's key."""
    return (hold.team_id, hold.experiment_id, hold.person_id, hold.api_key_id, hold.provider_key_id)


async def _configure(link: psycopg.AsyncConnection[Any]) -> None:
    await link.set_autocommit(True)
    # A number's size would be a part of a prepared statement's types, and make many of each.
    link.adapters.register_dumper(int, Int8Dumper)
    link.adapters.register_dumper(int, Int8BinaryDumper)


class AsyncLedger:
    """Opens its pool on entry and closes it on exit. Each operation is done whole or not at all.

    Django's OperationalError when the database stays away.
    """

    def __init__(self, conninfo: str, *, max_size: int = 10) -> None:
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            conninfo, min_size=1, max_size=max_size, open=False, configure=_configure, timeout=PATIENCE_SECONDS
        )
        self._holds, self._settlements = _Together(self._pool), _Together(self._pool)
        self._disk = _Disk(self._pool)

    async def __aenter__(self) -> Self:
        # Without waiting: a database that is away for a moment is the calls' matter.
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def reserve(self, hold: Hold, *, time_zone: str | None = None) -> Reserved | Wait:
        """Hold money for one attempt. BudgetExceeded if a budget has no room; Wait if the provider's key has none.

        With the team's `time_zone` the short form is tried first. `hold.uid` lets a lost connection be told from a
        lost commit.
        """

        async def once(again: bool) -> Reserved | Wait | Refused:
            if again and hold.uid:
                rows = await self._rows("SELECT id FROM billing_reservation WHERE uid = %s", (hold.uid,))
                if rows:
                    await self._disk.reached()
                    return Reserved(int(rows[0][0]), hold.amount_nanousd)
            if time_zone is not None:
                work = ledger_at_once.reserve(_moment(), hold, time_zone)
                held = await self._holds.do(alike(hold), work)
                if held is not None:
                    await self._disk.reached()
                    return held
            return await self._run(ledger.reserve(_moment(), hold))

        outcome = await self._patiently(once)
        if isinstance(outcome, Refused):
            raise budget_exceeded(outcome)
        return outcome

    async def mark_sent(self, reservation_id: int) -> bool:
        return await self._run(ledger.mark_sent(_moment(), reservation_id))

    async def settle(
        self, reservation_id: int, spent: Spent, *, group: Hashable = None, keep: Upsert | None = None
    ) -> Closed | None:
        """Book an answered attempt, and `keep` a row in the same transaction. `group` names calls that hold money in
        the same budgets, so that they may share that; None: on its own, in the long form.
        """

        async def once(_again: bool) -> Closed | None:
            if group is not None:
                work = ledger_at_once.settle(_moment(), reservation_id, spent, keep)
                closed = await self._settlements.do(group, work)
                if closed is not None:
                    return closed
            return await self._run(_settled(_moment(), reservation_id, spent, keep))

        outcome = await self._patiently(once)
        if outcome is not None and outcome.overrun_nanousd:
            await in_database(alert_if_overrun, outcome)
        return outcome

    async def book_hit(self, hit: Hit) -> str:
        """Record an answer from the cache; the public id of its entry. No money moves: the disk is not waited for."""
        named = replace(hit, uid=hit.uid or new_uid().hex)

        async def once(again: bool) -> str:
            statement = next(ledger.book_hit(_moment(), named))
            try:
                await self._settlements.do(("hit", hit.team_id), AtOnce(statement, lambda _rows: None))
            except psycopg.errors.UniqueViolation:
                # It was booked, and only the answer to that was lost.
                if not again:
                    raise
            return named.uid

        return await self._patiently(once)

    async def release(self, reservation_id: int) -> Closed | None:
        return await self._run(ledger.release(_moment(), reservation_id))

    async def mark_unknown(self, reservation_id: int, evidence: str) -> Closed | None:
        return await self._run(ledger.mark_unknown(_moment(), reservation_id, evidence))

    async def _patiently(self, once: Callable[[bool], Awaitable[T]]) -> T:
        """Again while the database is away; `once` is told whether it is again."""
        clock = asyncio.get_running_loop().time
        until, again = clock() + PATIENCE_SECONDS, False
        while True:
            try:
                return await once(again)
            except psycopg.OperationalError as error:
                if isinstance(error, PoolTimeout) or clock() > until:
                    raise OperationalError(*error.args) from error
                log.warning("the ledger is asked again", extra={"error": type(error).__name__})
            again = True
            await asyncio.sleep(PAUSE_SECONDS)
            # What was opened before a restart is dead, and would be handed out once each.
            await self._pool.check()

    async def _rows(self, sql: str, params: tuple[object, ...]) -> list[Row]:
        async with self._pool.connection() as link, link.cursor() as cursor:
            await cursor.execute(sql, params)
            return list(await cursor.fetchall())

    async def _run(self, steps: Steps[T]) -> T:
        async with self._pool.connection() as link, link.transaction(), link.cursor() as cursor:
            rows: Sequence[Row] | None = None
            while True:
                try:
                    sql, params = steps.send(list(rows)) if rows is not None else next(steps)
                except StopIteration as stop:
                    outcome: T = stop.value
                    return outcome
                await cursor.execute(sql, params)
                rows = await cursor.fetchall() if cursor.description is not None else []


def _settled(at: Moment, reservation_id: int, spent: Spent, keep: Upsert | None) -> Steps[Closed | None]:
    closed = yield from ledger.settle(at, reservation_id, spent)
    if keep is not None:
        yield keep.alone
    return closed


def _first_of(error: Exception) -> Exception:
    """What went wrong, and not that its pipeline could not be ended well after that."""
    while isinstance(error.__context__, psycopg.Error):
        error = error.__context__
    return error


class _Disk:
    """Waiting until what was committed is on the disk, for all who want to know that at once."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def reached(self) -> None:
        """Returns when everything that was committed before this call is there."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._waiting:
            # Who comes while one wait is under way needs the next: that one may have begun too early.
            now, self._waiting = self._waiting, []
            failed: Exception | None = None
            try:
                async with self._pool.connection() as link:
                    await link.execute(*_WAIT_FOR_THE_DISK)
            except Exception as error:
                failed = error
            for done in now:
                if not done.done():
                    done.set_result(None) if failed is None else done.set_exception(failed)
        self._task = None


class _Together:
    """Short operations of one group, in transactions that they share. One of a group is under way at any time.

    What is committed need not be on the disk yet.
    """

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._waiting: dict[Hashable, list[tuple[AtOnce[Any], asyncio.Future[Any]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, group: Hashable, work: AtOnce[T]) -> T | None:
        """The operation's outcome, once its transaction has been committed."""
        done: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(group)
        if waiting is None:
            self._waiting[group] = [(work, done)]
            task = asyncio.create_task(self._drain(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            waiting.append((work, done))
        return await done

    async def _drain(self, group: Hashable) -> None:
        while waiting := self._waiting[group]:
            now, self._waiting[group] = waiting[:TOGETHER], waiting[TOGETHER:]
            try:
                outcomes = await self._all([work for work, _ in now])
            except Exception as error:
                await self._each(now, _first_of(error))
                continue
            for (_, done), outcome in zip(now, outcomes, strict=True):
                if not done.done():
                    done.set_result(outcome)
        del self._waiting[group]

    async def _each(self, now: list[tuple[AtOnce[Any], asyncio.Future[Any]]], error: Exception) -> None:
        """What failed together is tried alone, so that one that cannot succeed spoils nothing for the others."""
        away = isinstance(error, psycopg.OperationalError) and not isinstance(error, psycopg.errors.DeadlockDetected)
        for work, done in now:
            try:
                if away or len(now) == 1:
                    raise error
                (outcome,) = await self._all([work])
            except Exception as own:
                if not done.done():
                    done.set_exception(_first_of(own))
            else:
                if not done.done():
                    done.set_result(outcome)

    async def _all(self, works: Sequence[AtOnce[Any]]) -> list[Any]:
        """One transaction, which the end of the pipeline commits, and one wait for its answers."""
        # Those of one group lock the same thing first, which once is enough for.
        locks = dict.fromkeys(work.lock for work in works if work.lock is not None)
        async with self._pool.connection() as link:
            cursors = []
            async with link.pipeline():
                for statement in (_WITHOUT_WAITING_FOR_THE_DISK, *locks):
                    await link.execute(*statement)
                for work in works:
                    cursors.append(await link.execute(*work.statement))
            rows = [await cursor.fetchall() if cursor.description is not None else [] for cursor in cursors]
            return [work.outcome(of_it) for work, of_it in zip(works, rows, strict=True)]
