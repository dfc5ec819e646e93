# ruff: noqa: S608 - the names put together here are constants of the callers; every value is a parameter
"""What goes into an operation of the ledger and what comes out of it."""

import zoneinfo
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

Row = Sequence[Any]
Statement = tuple[str, tuple[object, ...]]
T = TypeVar("T")
Steps = Generator[Statement, list[Row], T]


class LedgerError(Exception):
    """An operation that would make the books wrong."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What an operation may not find out for itself: the time (aware UTC), row locking, and new public ids."""

    now: datetime
    new_uid: Callable[[], str]
    # " FOR NO KEY UPDATE" on PostgreSQL: nobody's key changes, and rows that refer to a locked one may be written
    # meanwhile. Empty on SQLite, whose immediate transactions lock the database.
    lock: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt at one call, and the most it can cost."""

    team_id: int
    experiment_id: int | None
    language_model_id: int
    price_id: int
    purpose: str
    attempt: int
    amount_nanousd: int
    expires_at: datetime
    # Which process makes the attempt; lets a sweep know that it is dead before `expires_at`.
    holder: str = ""
    # Who spends it, and through which key of ours.
    person_id: int | None = None
    api_key_id: int | None = None
    # The key for the provider, and how much at once and in any minute may go through it.
    provider_key_id: int | None = None
    max_concurrency: int | None = None
    requests_per_minute: int | None = None
    # The public id that the reservation is to have; empty for any.
    uid: str = ""
    # The request leaves as soon as the money is held: nobody will say so in the books once more.
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Reserved:
    reservation_id: int
    amount_nanousd: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The first budget that has no room. Nothing is held."""

    budget_id: int
    period: str
    period_key: str
    experiment_id: int | None
    person_id: int | None
    api_key_id: int | None
    limit_nanousd: int
    spent_nanousd: int
    held_nanousd: int
    needed_nanousd: int


WaitReason = Literal["concurrency", "requests_per_minute", "asked_to_wait", "provider_failing"]


@dataclass(frozen=True, slots=True)
class Wait:
    """The provider's key has no room now. Nothing is held; another try makes sense after `seconds`."""

    seconds: float
    reason: WaitReason


@dataclass(frozen=True, slots=True)
class Spent:
    """What an answered attempt really cost, and how that was counted. Cached and reasoning tokens are parts of the
    first two.
    """

    amount_nanousd: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    compute_seconds: float | None = None
    latency_ms: float | None = None
    evidence: str = ""
    # The public id that the entry is to have; empty for any.
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that was paid for before: it costs nothing, and saves what it cost then."""

    team_id: int
    experiment_id: int | None
    language_model_id: int
    purpose: str
    saved_nanousd: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: float | None = None
    person_id: int | None = None
    api_key_id: int | None = None
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Upsert:
    """A row to be written, in the place of one with the same `unique` columns, of which `changed` are then written."""

    table: str
    values: dict[str, object]
    unique: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def alone(self) -> Statement:
        return self._statement("VALUES (%s)")

    def if_any_of(self, relation: str) -> Statement:
        """Written only if `relation`, of one row at most, has one."""
        return self._statement(f"SELECT %s FROM {relation}")

    def _statement(self, source: str) -> Statement:
        columns, marks = ", ".join(self.values), ", ".join(["%s"] * len(self.values))
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in self.changed)
        sql = (
            f"INSERT INTO {self.table} ({columns}) {source.replace('%s', marks)} "
            f"ON CONFLICT ({', '.join(self.unique)}) DO UPDATE SET {changes}"
        )
        return sql, tuple(self.values.values())


Outcome = Literal["settled", "released", "unknown", "corrected"]


@dataclass(frozen=True, slots=True)
class Closed:
    """How a reservation ended. `amount_nanousd` is what the books now show for it."""

    reservation_id: int
    team_id: int
    outcome: Outcome
    held_nanousd: int
    amount_nanousd: int
    # The public id of the entry that was added; empty when money only came back.
    entry_uid: str = ""

    @property
    def overrun_nanousd(self) -> int:
        """How much more was spent than was held."""
        return max(0, self.amount_nanousd - self.held_nanousd)


def period_key(period: str, now: datetime, time_zone: str) -> str:
    """The name of the period that `now` falls into: "total", "2026-11" or "2026-11-24" in the team's time zone."""
    local = now.astimezone(zoneinfo.ZoneInfo(time_zone))
    formats = {"total": "total", "monthly": "%Y-%m", "daily": "%Y-%m-%d"}
    return local.strftime(formats[period])


def as_moment(value: datetime | str) -> datetime:
    """A time as a database hands it out: aware; without its zone, which is UTC then; or, from SQLite, as text."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
