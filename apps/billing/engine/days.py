"""Days and months of a team's own time zone, as instants; a day of a clock change has 23 or 25 hours."""

import zoneinfo
from datetime import UTC, date, datetime, time, timedelta


def day_of(moment: datetime, time_zone: str) -> date:
    """The calendar day that an aware moment falls into."""
    return moment.astimezone(zoneinfo.ZoneInfo(time_zone)).date()


# Within these every time zone has the day and the one after it. What lies further stands for the ends of time.
_FIRST, _LAST = date(1, 1, 3), date(9999, 12, 29)


def start_of(day: date, time_zone: str) -> datetime:
    """When a day begins, in UTC. Where the clocks skip midnight, that is the moment of the change."""
    day = min(max(day, _FIRST), _LAST)
    return datetime.combine(day, time(), tzinfo=zoneinfo.ZoneInfo(time_zone)).astimezone(UTC)


def end_of(day: date, time_zone: str) -> datetime:
    """When the next day begins, in UTC."""
    return start_of(min(day, _LAST) + timedelta(days=1), time_zone)


def first_of_next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def period_end(period: str, now: datetime, time_zone: str) -> datetime | None:
    """When the budget period that `now` falls into ends, in UTC; None for one without an end."""
    today = day_of(now, time_zone)
    if period == "daily":
        return start_of(today + timedelta(days=1), time_zone)
    return start_of(first_of_next_month(today), time_zone) if period == "monthly" else None
