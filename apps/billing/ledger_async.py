"""The ledger over an asynchronous psycopg pool: the same operations as ledger_runner, for loops on PostgreSQL."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from apps.billing.engine import ledger
from apps.billing.engine.ledger import Closed, Hold, Moment, Refused, Reserved, Row, Spent, Steps, Wait
from apps.billing.ledger_runner import alert_if_overrun, budget_exceeded
from apps.core.db import in_database
from apps.core.models.base import new_uid

T = TypeVar("T")

_CONNECTION_PARAMETERS = ("dbname", "user", "password", "host", "port", "sslmode", "service", "passfile")


def _moment() -> Moment:
    return Moment(now=timezone.now(), new_uid=lambda: new_uid().hex, lock=" FOR UPDATE")


def connection_string() -> str:
    """How to reach the database that Django uses. ImproperlyConfigured unless it is PostgreSQL."""
    if connection.vendor != "postgresql":
        raise ImproperlyConfigured("The asynchronous ledger needs PostgreSQL; on SQLite use in_database.")
    known: dict[str, Any] = connection.get_connection_params()
    return make_conninfo(**{name: known[name] for name in _CONNECTION_PARAMETERS if known.get(name)})


class AsyncLedger:
    """Opens its pool on entry and closes it on exit; each operation is one transaction of its own."""

    def __init__(self, conninfo: str, *, max_size: int = 10) -> None:
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            conninfo, min_size=1, max_size=max_size, open=False, check=AsyncConnectionPool.check_connection
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def reserve(self, hold: Hold) -> Reserved | Wait:
        """Hold money for one attempt. BudgetExceeded if a budget has no room; Wait if the provider's key has none."""
        outcome = await self._run(ledger.reserve(_moment(), hold))
        if isinstance(outcome, Refused):
            raise budget_exceeded(outcome)
        return outcome

    async def mark_sent(self, reservation_id: int) -> bool:
        return await self._run(ledger.mark_sent(_moment(), reservation_id))

    async def settle(self, reservation_id: int, spent: Spent) -> Closed | None:
        outcome = await self._run(ledger.settle(_moment(), reservation_id, spent))
        if outcome is not None and outcome.overrun_nanousd:
            await in_database(alert_if_overrun, outcome)
        return outcome

    async def release(self, reservation_id: int) -> Closed | None:
        return await self._run(ledger.release(_moment(), reservation_id))

    async def mark_unknown(self, reservation_id: int, evidence: str) -> Closed | None:
        return await self._run(ledger.mark_unknown(_moment(), reservation_id, evidence))

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
