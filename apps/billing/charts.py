"""The chart of what was spent, as a Plotly figure in plain values; colours and fonts are the theme's."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.billing.usage_reading import Sums, Usage, with_others
from apps.core.formats import money_text
from apps.experiments.charts import Chart

MOST_SERIES = 5
# The first day of a month would be one bar as wide as the page, and its axis would count hours.
FEWEST_DAYS = 14
# Said, since of a single day Plotly cannot tell how far apart days are.
BAR_MILLISECONDS = 0.8 * 86_400_000
_NANO = 10**9


def spending_chart(found: Usage) -> Chart | None:
    """What each day cost, divided by what the page divides by. None when nothing was spent."""
    parts = with_others(found.parts, MOST_SERIES)
    if not parts:
        return None
    days = list(found.by_day)
    shown = [date_format(day, "j M Y") for day in days]
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": part.name,
            "width": BAR_MILLISECONDS,
            "x": [day.isoformat() for day in days],
            "y": [part.by_day.get(day, Sums()).spent_nanousd / _NANO for day in days],
            "hovertext": [money_text(part.by_day.get(day, Sums()).spent_nanousd) for day in days],
            "hovertemplate": "%{x|%-d %b %Y}: %{hovertext}",
        }
        for part in parts
    ]
    rows = [
        [
            text,
            *(money_text(part.by_day.get(day, Sums()).spent_nanousd) for part in parts),
            money_text(found.by_day[day].spent_nanousd),
        ]
        for text, day in zip(shown, days, strict=True)
    ]
    columns = [_("Day"), *(part.name for part in parts), _("All")]
    return Chart(
        title=_finding(found),
        subtitle=_("Dollars spent each day; days begin at midnight in %(zone)s") % {"zone": found.days.time_zone},
        figure={
            "data": traces,
            "layout": {
                "barmode": "relative",
                "xaxis": {"type": "date", "title": {"text": _("Day")}, "range": _axis(days)},
                "yaxis": {"title": {"text": _("Spent ($)")}, "tickprefix": "$", "rangemode": "tozero"},
                "showlegend": len(traces) > 1,
            },
        },
        table={
            "columns": [{"label": label, "numeric": place > 0} for place, label in enumerate(columns)],
            "rows": rows,
        },
    )


def _axis(days: Sequence[date]) -> list[str]:
    """From half a day before the first to half a day after the last, or after later days that are still empty."""
    first = datetime.combine(days[0], time()) - timedelta(hours=12)
    return [first.isoformat(), (first + timedelta(days=max(len(days), FEWEST_DAYS))).isoformat()]


def _finding(found: Usage) -> str:
    day, most = max(found.by_day.items(), key=lambda item: item[1].spent_nanousd)
    first, whole = found.parts[0], found.total.spent_nanousd
    facts = {"all": money_text(whole), "day": date_format(day, "j F"), "most": money_text(most.spent_nanousd)}
    if len(found.parts) > 1 and first.sums.spent_nanousd * 2 > whole:
        return _("%(all)s was spent, more than half of it for %(name)s") % {**facts, "name": first.name}
    return _("%(all)s was spent; the dearest day was %(day)s with %(most)s") % facts
