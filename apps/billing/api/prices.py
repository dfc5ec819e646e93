"""Prices by REST: what a team has set for a model's tokens and for an hour of local computing, and a new one."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.billing import price_lists, services
from apps.billing.engine.rates import Rate, TokenRates
from apps.billing.models import Price
from apps.billing.price_lists import KINDS
from apps.billing.pricing import MOST_TOKENS, rates_of
from apps.billing.services import (
    MOST_NANOUSD_PER_HOUR,
    MOST_NANOUSD_PER_MILLION,
    MOST_NANOUSD_PER_REQUEST,
    MOST_STEPS,
)
from apps.core.access import fetch_for_user
from apps.core.api.once import once
from apps.core.api.paging import Cursor
from apps.core.api.schema import documented
from apps.core.api.shapes import RequestSerializer
from apps.providers.models import LanguageModel

TAG = "prices"


class RateTierSerializer(RequestSerializer):
    """Above so many tokens in the prompt, this price holds for all of its kind in the request."""

    prompt_tokens = serializers.IntegerField(min_value=1, max_value=MOST_TOKENS)
    nanousd_per_million = serializers.IntegerField(min_value=0, max_value=MOST_NANOUSD_PER_MILLION)


class RateSerializer(RequestSerializer):
    nanousd_per_million = serializers.IntegerField(min_value=0, max_value=MOST_NANOUSD_PER_MILLION)
    above = RateTierSerializer(many=True)


class ModelPriceSerializer(serializers.Serializer[Any]):
    """What a call is paid by now. `unit` is `token`, with a rate for each kind (null: as the whole that it is a part
    of), or `compute_hour`, with `nanousd_per_hour` for the seconds that answering takes.

    `uid` names the row that entries of the ledger point at; null before the first call that is paid by it.
    `data_version` is empty for what a person or a setting says; `assumed` marks what nobody has confirmed.
    """

    uid = serializers.UUIDField(allow_null=True)
    unit = serializers.ChoiceField(choices=["token", "compute_hour"])
    input = RateSerializer(allow_null=True)
    cached_input = RateSerializer(allow_null=True)
    cache_write = RateSerializer(allow_null=True)
    output = RateSerializer(allow_null=True)
    reasoning = RateSerializer(allow_null=True)
    request_nanousd = serializers.IntegerField()
    nanousd_per_hour = serializers.IntegerField(allow_null=True)
    assumed = serializers.BooleanField()
    source = serializers.CharField()  # type: ignore[assignment]
    data_version = serializers.CharField()
    valid_from = serializers.DateTimeField()


class TeamPriceSerializer(ModelPriceSerializer):
    """A price that the team has set. `state`: it holds `now`, holds from a `later` moment on, or held `before`."""

    uid = serializers.UUIDField()
    state = serializers.CharField(help_text="`now`, `later` or `before`.")
    created_at = serializers.DateTimeField()


class RateGivenSerializer(RateSerializer):
    """`above`: steps at rising numbers of tokens, each with what holds from there on."""

    above = RateTierSerializer(many=True, default=list, max_length=MOST_STEPS)  # type: ignore[call-arg]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        starts = [tier["prompt_tokens"] for tier in attrs["above"]]
        if starts != sorted(set(starts)):
            raise serializers.ValidationError({"above": [_("Steps begin at rising numbers of tokens.")]})
        return attrs


class PriceGivenSerializer(RequestSerializer):
    """`first_day` left out: from now on; a later day begins at midnight in the team's time zone."""

    source = serializers.CharField(max_length=120, help_text="Where the figures come from.")  # type: ignore[assignment]
    first_day = serializers.DateField(required=False, allow_null=True)


class TokenPriceSerializer(PriceGivenSerializer):
    """Nano-dollars for a million tokens. `cached_input` and `cache_write` left out: as all others that go in;
    `reasoning`: as all others that come out. `request_nanousd` is for each call beside its tokens.
    """

    input = RateGivenSerializer()
    cached_input = RateGivenSerializer(required=False, allow_null=True)
    cache_write = RateGivenSerializer(required=False, allow_null=True)
    output = RateGivenSerializer()
    reasoning = RateGivenSerializer(required=False, allow_null=True)
    request_nanousd = serializers.IntegerField(min_value=0, max_value=MOST_NANOUSD_PER_REQUEST, default=0)


class LocalPriceSerializer(PriceGivenSerializer):
    nanousd_per_hour = serializers.IntegerField(min_value=0, max_value=MOST_NANOUSD_PER_HOUR)


@documented(
    "model_prices",
    says="What the team has set for a model's tokens, newest first. `GET models` has the price that holds.",
    method="GET",
    answer=TeamPriceSerializer,
    paged=True,
    refusals=[404],
    tag=TAG,
)
@documented(
    "model_price_create",
    says="Set what a provider takes from the team for a model's tokens. Nothing that was booked is priced anew.",
    method="POST",
    answer=TeamPriceSerializer,
    status=201,
    request=TokenPriceSerializer,
    refusals=[404],
    scope=None,
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def model_prices(request: Request, uid: UUID) -> Response:
    """Prices of a model's tokens. An API key sets none: it could lift what limits itself."""
    action = "view" if request.method == "GET" else "manage"
    found = fetch_for_user(LanguageModel, request.user, action, uid=uid, **scope(request))
    priced = price_lists.team_prices_of(found)
    if request.method == "GET":
        return _page(request, priced)
    values = _checked(TokenPriceSerializer, request)
    made = services.token_price_create(
        actor=request.user,
        team=found.team,
        model=found,
        rates=_rates_given(values),
        source=values["source"],
        first_day=values.get("first_day"),
    )
    return _made(made, price_lists.team_prices_of(found))


@documented(
    "local_prices",
    says="What the team has set for an hour of computing on its own machine, newest first; also what was assumed.",
    method="GET",
    answer=TeamPriceSerializer,
    paged=True,
    tag=TAG,
)
@documented(
    "local_price_create",
    says="Set what an hour of computing on the team's own machine costs. Nothing that was booked is priced anew.",
    method="POST",
    answer=TeamPriceSerializer,
    status=201,
    request=LocalPriceSerializer,
    scope=None,
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def local_prices(request: Request) -> Response:
    """Prices of an hour. An API key sets none: it could lift what limits itself."""
    team = team_for(request, "view" if request.method == "GET" else "manage")
    if request.method == "GET":
        return _page(request, price_lists.team_prices_of_hour(team))
    made = services.local_price_create(actor=request.user, team=team, **_checked(LocalPriceSerializer, request))
    return _made(made, price_lists.team_prices_of_hour(team))


def price_columns(price: Price) -> dict[str, Any]:
    """A price, stored or not, as `ModelPriceSerializer` shows it."""
    rates = rates_of(price)
    return {
        "uid": price.uid if price.pk is not None else None,
        "unit": price.unit,
        **{kind: _rate(getattr(rates, kind)) if rates is not None else None for kind in KINDS},
        "request_nanousd": rates.request_nanousd if rates is not None else 0,
        "nanousd_per_hour": price.nanousd_per_hour,
        "assumed": price.assumed,
        "source": price.source,
        "data_version": price.data_version,
        "valid_from": price.valid_from,
    }


def _rate(rate: Rate | None) -> dict[str, Any] | None:
    if rate is None:
        return None
    above = [{"prompt_tokens": start, "nanousd_per_million": price} for start, price in rate.tiers]
    return {"nanousd_per_million": rate.base, "above": above}


def _rates_given(values: dict[str, Any]) -> TokenRates:
    rates = {kind: _given(values[kind]) for kind in KINDS if values.get(kind) is not None}
    return TokenRates(**rates, request_nanousd=values["request_nanousd"])


def _given(values: dict[str, Any]) -> Rate:
    tiers = tuple((tier["prompt_tokens"], tier["nanousd_per_million"]) for tier in values["above"])
    return Rate(values["nanousd_per_million"], tiers)


def _page(request: Request, priced: price_lists.TeamPrices) -> Response:
    cursor: CursorPagination = Cursor()
    rows = cursor.paginate_queryset(priced.rows, request) or []
    return cursor.get_paginated_response([_shown(row, priced) for row in rows])


def _made(price: Price, priced: price_lists.TeamPrices) -> Response:
    return Response(_shown(price, priced), status=201)


def _shown(row: Price, priced: price_lists.TeamPrices) -> Any:
    columns = {**price_columns(row), "state": priced.state_of(row), "created_at": row.created_at}
    return TeamPriceSerializer(columns).data


def _checked(shape: Any, request: Request) -> dict[str, Any]:
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)
