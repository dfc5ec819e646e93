"""What a team spent, saved and called in a range of its own days: sums of the ledger."""

import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import APIKey, Team, User
from apps.billing.engine.days import day_of, end_of, first_of_next_month, start_of
from apps.billing.engine.forecast import MOST_DAYS, Forecast, month_forecast
from apps.billing.models import LedgerEntry, Price
from apps.billing.selectors import held_total
from apps.billing.unknown_reading import uncorrected
from apps.core.errors import ApplicationError
from apps.experiments.models import Experiment
from apps.providers.models import LanguageModel

MOST_RANGE_DAYS = 400
# What usage is divided by → the column of an entry.
DIMENSIONS = {"model": "language_model", "experiment": "experiment", "person": "person", "api_key": "api_key"}
_CACHED = Q(kind=LedgerEntry.Kind.CACHED)
_CALL = ~Q(kind=LedgerEntry.Kind.CORRECTION)
_SUMS = {
    "spent": Sum("amount_nanousd"),
    "saved": Sum("saved_nanousd"),
    "calls": Count("id", filter=_CALL),
    "hits": Count("id", filter=_CACHED),
    "tokens_in": Sum("prompt_tokens", filter=~_CACHED),
    "tokens_out": Sum("completion_tokens", filter=~_CACHED),
}


@dataclass(frozen=True, slots=True)
class Days:
    """From the beginning of `first` to the end of `last`, by the calendar of `time_zone`."""

    first: date
    last: date
    time_zone: str

    @property
    def start(self) -> datetime:
        return start_of(self.first, self.time_zone)

    @property
    def end(self) -> datetime:
        return end_of(self.last, self.time_zone)

    def each(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def days_of(
    team: Team,
    *,
    named: str = "month",
    first: date | None = None,
    last: date | None = None,
    now: datetime | None = None,
) -> Days:
    """`month` (this month up to today), `30d` (the last 30 days), or `custom`, from `first` to `last`."""
    today = day_of(now or timezone.now(), team.time_zone)
    if named == "month":
        return Days(today.replace(day=1), today, team.time_zone)
    if named == "30d":
        return Days(today - timedelta(days=29), today, team.time_zone)
    if first is None or last is None:
        raise ApplicationError(_("Name the first and the last day."), field="first" if first is None else "last")
    if last < first:
        raise ApplicationError(_("The last day lies before the first."), field="last")
    if (last - first).days >= MOST_RANGE_DAYS or first.year < 2000 or last.year > 9000:
        raise ApplicationError(_("Choose at most %(n)d days.") % {"n": MOST_RANGE_DAYS}, field="last")
    return Days(first, last, team.time_zone)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of entries. Calls are attempts and answers from the cache (`hits`); tokens are those of attempts alone."""

    spent_nanousd: int = 0
    saved_nanousd: int = 0
    calls: int = 0
    hits: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    # Whether an assumed price has a part in what was spent.
    assumed: bool = False

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.spent_nanousd + other.spent_nanousd,
            self.saved_nanousd + other.saved_nanousd,
            self.calls + other.calls,
            self.hits + other.hits,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.assumed or other.assumed,
        )

    @property
    def hit_rate(self) -> float | None:
        """The share of calls that the cache answered; None without a call."""
        return self.hits / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs to one model, experiment, person or API key. `uid` is None for what belongs to none."""

    pk: int | None
    uid: Any
    name: str
    sums: Sums
    by_day: dict[date, Sums] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """A range as a whole, by day (every day of it), and by part, the dearest first."""

    days: Days
    total: Sums
    by_day: dict[date, Sums]
    parts: list[Part]


def usage(team: Team, days: Days, *, by: str = "model") -> Usage:
    """What a range cost, in one pass over its entries."""
    column = DIMENSIONS[by]
    found: dict[int | None, dict[date, Sums]] = {}
    for row, sums in _grouped(team, days, column):
        part = found.setdefault(row[column], {})
        part[row["day"]] = part.get(row["day"], Sums()) + sums
    by_day = {day: _added(part.get(day, Sums()) for part in found.values()) for day in days.each()}
    names = _names(by, {pk for pk in found if pk is not None})
    parts = [_part(by, pk, names, each) for pk, each in found.items()]
    parts.sort(key=lambda part: (-part.sums.spent_nanousd, -part.sums.calls, part.name))
    return Usage(days, _added(by_day.values()), by_day, parts)


def totals(team: Team, days: Days) -> Sums:
    """The sums of a range, divided by nothing."""
    rows = _entries(team, days).order_by().values("price").annotate(**_SUMS)
    assumed = _assumed(team)
    return _added(_sums(row, assumed) for row in rows)


def has_entries(team: Team) -> bool:
    return LedgerEntry.objects.filter(team=team).exists()


def forecast(team: Team, *, now: datetime | None = None) -> Forecast | None:
    """What the running month will have cost; None while too few complete days were seen.

    The day of the first entry is no complete one, and days before it say nothing about those to come.
    """
    now = now or timezone.now()
    today = day_of(now, team.time_zone)
    month = today.replace(day=1)
    first = LedgerEntry.objects.filter(team=team).order_by("created_at").values_list("created_at", flat=True).first()
    if first is None:
        return None
    seen = Days(min(month, today - timedelta(days=MOST_DAYS)), today, team.time_zone)
    rows = _entries(team, seen).annotate(day=_day(team.time_zone)).order_by().values_list("day")
    spent = {day: int(total) for day, total in rows.annotate(total=Sum("amount_nanousd"))}
    begun = day_of(first, team.time_zone)
    over = [day for day in seen.each() if begun < day < today]
    before = sum(spent.get(day, 0) for day in seen.each() if month <= day < today)
    return month_forecast(
        spent_nanousd=before + spent.get(today, 0),
        before_today_nanousd=before,
        complete_days=[spent.get(day, 0) for day in over[-MOST_DAYS:]],
        days_left=(first_of_next_month(today) - today).days,
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the export: a day of one model, experiment, person and API key."""

    day: date
    model: str
    experiment: str
    person: str
    api_key: str
    sums: Sums


def lines(team: Team, days: Days) -> list[Line]:
    """The whole range, divided by everything at once, the oldest day first."""
    columns = list(DIMENSIONS.values())
    found: dict[tuple[Any, ...], Sums] = {}
    for row, sums in _grouped(team, days, *columns):
        key = (row["day"], *(row[column] for column in columns))
        found[key] = found.get(key, Sums()) + sums
    names = {
        by: _names(by, {key[place] for key in found if key[place] is not None})
        for place, by in enumerate(DIMENSIONS, start=1)
    }

    def name(by: str, pk: int | None) -> str:
        return "" if pk is None else names[by][pk][1]

    ordered = sorted(found.items(), key=lambda item: (item[0][0], -item[1].spent_nanousd))
    return [
        Line(
            day=key[0],
            model=name("model", key[1]),
            experiment=name("experiment", key[2]),
            person=name("person", key[3]),
            api_key=name("api_key", key[4]),
            sums=sums,
        )
        for key, sums in ordered
    ]


def _entries(team: Team, days: Days) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(team=team, created_at__gte=days.start, created_at__lt=days.end)


def _day(time_zone: str) -> TruncDate:
    return TruncDate("created_at", tzinfo=zoneinfo.ZoneInfo(time_zone))


def _grouped(team: Team, days: Days, *columns: str) -> Iterable[tuple[dict[str, Any], Sums]]:
    rows = _entries(team, days).annotate(day=_day(days.time_zone)).order_by()
    assumed = _assumed(team)
    # By price as well, which says whether it is assumed: a join would have to read it for every entry.
    for row in rows.values("day", *columns, "price").annotate(**_SUMS):
        yield row, _sums(row, assumed)


def _assumed(team: Team) -> set[int]:
    return set(Price.objects.filter(Q(team=team) | Q(team=None), assumed=True).values_list("pk", flat=True))


def _sums(row: Mapping[str, Any], assumed: set[int]) -> Sums:
    return Sums(
        int(row["spent"] or 0),
        int(row["saved"] or 0),
        row["calls"],
        row["hits"],
        int(row["tokens_in"] or 0),
        int(row["tokens_out"] or 0),
        row["price"] in assumed,
    )


def _added(found: Iterable[Sums]) -> Sums:
    return sum(found, Sums())


def _part(by: str, pk: int | None, names: Mapping[int, tuple[Any, str]], by_day: dict[date, Sums]) -> Part:
    uid, name = (None, _nobody(by)) if pk is None else names[pk]
    return Part(pk, uid, name, _added(by_day.values()), by_day)


def _nobody(by: str) -> str:
    return {
        "model": _("No model"),
        "experiment": _("No experiment"),
        "person": _("Nobody named"),
        "api_key": _("No API key"),
    }[by]


def _names(by: str, pks: set[int]) -> dict[int, tuple[Any, str]]:
    """(uid, name) by id."""
    if by == "person":
        return {each.pk: (each.uid, str(each)) for each in User.objects.filter(pk__in=pks)}
    model: Any = {"model": LanguageModel, "experiment": Experiment, "api_key": APIKey}[by]
    return {pk: (uid, name) for pk, uid, name in model.objects.filter(pk__in=pks).values_list("pk", "uid", "name")}


def with_others(parts: list[Part], most: int) -> list[Part]:
    """At most `most` parts with money in them: the dearest, and the rest as one."""
    paid = [part for part in parts if part.sums.spent_nanousd > 0]
    if len(paid) <= most:
        return paid
    kept, rest = paid[: most - 1], paid[most - 1 :]
    by_day: dict[date, Sums] = {}
    for part in rest:
        for day, sums in part.by_day.items():
            by_day[day] = by_day.get(day, Sums()) + sums
    others = replace(rest[0], pk=None, uid=None, name=_("Others"), sums=_added(part.sums for part in rest))
    return [*kept, replace(others, by_day=by_day)]


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Of the whole installation since its beginning. `unknown` are attempts at their bound that nobody corrected."""

    spent_nanousd: int
    saved_nanousd: int
    held_nanousd: int
    hits: int
    misses: int
    unknown: int


def ledger_totals() -> LedgerTotals:
    """Of every team together; reads each entry once."""
    kinds = (
        LedgerEntry.objects.order_by()
        .values_list("kind")
        .annotate(n=Count("id"), spent=Sum("amount_nanousd"), saved=Sum("saved_nanousd"))
    )
    found = {kind: (n, int(spent), int(saved)) for kind, n, spent, saved in kinds}
    counts = {kind: n for kind, (n, _spent, _saved) in found.items()}
    return LedgerTotals(
        spent_nanousd=sum(spent for _n, spent, _saved in found.values()),
        saved_nanousd=sum(saved for _n, _spent, saved in found.values()),
        held_nanousd=held_total(),
        hits=counts.get(LedgerEntry.Kind.CACHED, 0),
        misses=counts.get(LedgerEntry.Kind.SETTLED, 0) + counts.get(LedgerEntry.Kind.UNKNOWN, 0),
        unknown=uncorrected().count(),
    )
