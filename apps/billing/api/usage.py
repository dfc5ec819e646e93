"""Usage by REST: the figures of the page."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import team_for
from apps.billing import selectors, usage_reading
from apps.billing.usage_reading import DIMENSIONS, Sums, Usage
from apps.core.api.paging import PageQuery, neighbours, place
from apps.core.api.schema import documented

_BY = ("day", *DIMENSIONS)


class SumsSerializer(serializers.Serializer[Any]):
    """Money in nano-dollars. `calls` are attempts and answers from the cache, of which `hits` are the latter."""

    spent_nanousd = serializers.IntegerField()
    saved_nanousd = serializers.IntegerField(help_text="What the answers from the cache cost when first given.")
    calls = serializers.IntegerField()
    hits = serializers.IntegerField()
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    assumed = serializers.BooleanField(help_text="Whether an assumed price has a part in what was spent.")


class UsageRowSerializer(SumsSerializer):
    """A day, or one model, experiment, person or API key; `uid` is null for a day and for what belongs to none."""

    day = serializers.DateField(allow_null=True)
    uid = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()


class ForecastSerializer(serializers.Serializer[Any]):
    """Nano-dollars of the whole running month, with its 95 % prediction interval, from so many complete days."""

    value_nanousd = serializers.IntegerField()
    low_nanousd = serializers.IntegerField()
    high_nanousd = serializers.IntegerField()
    days = serializers.IntegerField()


class UsageSerializer(serializers.Serializer[Any]):
    """`total` is of the whole range; `held_nanousd` is held now; `forecast` is null with fewer than five days."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    first = serializers.DateField()
    last = serializers.DateField()
    time_zone = serializers.CharField()
    total = SumsSerializer()
    held_nanousd = serializers.IntegerField()
    forecast = ForecastSerializer(allow_null=True)
    results = UsageRowSerializer(many=True)


class UsageQuerySerializer(PageQuery):
    by = serializers.ChoiceField(
        choices=_BY, default="day", help_text="What `results` divides the range by; `day` unless told."
    )
    range = serializers.ChoiceField(
        choices=["month", "30d", "custom"], default="month", help_text="`month` is this one; `custom`: two days."
    )
    first = serializers.DateField(required=False, help_text="First day of a `custom` range.")
    last = serializers.DateField(required=False, help_text="Last day of it, which is in it; 400 days at most.")


@documented(
    "usage",
    says="What was spent in a range of days of the team's time zone, by day or by what it was spent for.",
    method="GET",
    answer=UsageSerializer,
    query=UsageQuerySerializer,
    tag="usage",
)
@api_view(["GET"])
def usage(request: Request) -> Response:
    """What was spent in a range of days, as the page shows it."""
    team = team_for(request)
    asked = UsageQuerySerializer.asked(request)
    days = usage_reading.days_of(team, named=asked["range"], first=asked.get("first"), last=asked.get("last"))
    found = usage_reading.usage(team, days, by="model" if asked["by"] == "day" else asked["by"])
    rows = _rows(found, asked["by"])
    offset, limit = place(request)
    shown = rows[offset : offset + limit]
    answer = {
        **neighbours(request, offset=offset, limit=limit, shown=len(shown), total=len(rows)),
        "first": days.first,
        "last": days.last,
        "time_zone": days.time_zone,
        "total": found.total,
        "held_nanousd": selectors.held_by(team),
        "forecast": usage_reading.forecast(team),
        "results": shown,
    }
    return Response(UsageSerializer(answer).data)


def _rows(found: Usage, by: str) -> list[dict[str, Any]]:
    if by == "day":
        return [{**_columns(sums), "day": day, "uid": None, "name": str(day)} for day, sums in found.by_day.items()]
    return [{**_columns(part.sums), "day": None, "uid": part.uid, "name": part.name} for part in found.parts]


def _columns(sums: Sums) -> dict[str, Any]:
    return dict(SumsSerializer(sums).data)
