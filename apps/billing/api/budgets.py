"""Budgets by REST: those in force, a new one, another limit, the end of one."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.billing import budget_reading, services
from apps.billing.models import Budget
from apps.core.api.once import once
from apps.core.api.paging import Cursor
from apps.core.api.schema import documented
from apps.core.api.shapes import RequestSerializer

TAG = "budgets"
MOST_NANOUSD = 10**18


class BudgetSerializer(serializers.Serializer[Any]):
    """A budget with the counters of its running period, in nano-dollars. `ends_at` is null for a total."""

    uid = serializers.UUIDField(source="budget.uid")
    experiment = serializers.UUIDField(source="budget.experiment.uid", allow_null=True, default=None)
    person = serializers.UUIDField(source="budget.person.uid", allow_null=True, default=None)
    api_key = serializers.UUIDField(source="budget.api_key.uid", allow_null=True, default=None)
    whose = serializers.CharField(help_text="The name of what it is for, or that it is the whole team's.")
    period = serializers.CharField(source="budget.period", help_text="`total`, `monthly` or `daily`.")
    hard = serializers.BooleanField(source="budget.hard")
    limit_nanousd = serializers.IntegerField(source="budget.limit_nanousd")
    spent_nanousd = serializers.IntegerField()
    held_nanousd = serializers.IntegerField()
    ends_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField(source="budget.created_at")
    closed_at = serializers.DateTimeField(source="budget.closed_at", allow_null=True)


class BudgetLimitSerializer(RequestSerializer):
    limit_nanousd = serializers.IntegerField(min_value=1, max_value=MOST_NANOUSD)


class BudgetCreateSerializer(BudgetLimitSerializer):
    """At most one of `experiment`, `person` and `api_key`; with none, it is the whole team's."""

    period = serializers.ChoiceField(choices=Budget.Period.values, default=Budget.Period.MONTHLY)
    hard = serializers.BooleanField(default=True, help_text="False: it counts and shows, and refuses nothing.")
    experiment = serializers.UUIDField(required=False)
    person = serializers.UUIDField(required=False)
    api_key = serializers.UUIDField(required=False)


@documented(
    "budgets",
    says="Budgets in force, newest first, each with what is spent and held in its running period.",
    method="GET",
    answer=BudgetSerializer,
    paged=True,
    tag=TAG,
)
@documented(
    "budget_create",
    says="Limit what the team, or one experiment, person or API key may spend. Money spent earlier does not count.",
    method="POST",
    answer=BudgetSerializer,
    status=201,
    request=BudgetCreateSerializer,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def budgets(request: Request) -> Response:
    """Budgets in force; or one more. An API key makes none: it could lift what limits itself."""
    if request.method != "POST":
        cursor: CursorPagination = Cursor()
        found = budget_reading.budgets(user=request.user, team=team_for(request))
        rows = cursor.paginate_queryset(found, request)
        return cursor.get_paginated_response(BudgetSerializer(budget_reading.budget_rows(rows or []), many=True).data)
    team = team_for(request, "manage")
    values = _checked(BudgetCreateSerializer, request)
    named: dict[str, Any] = {}
    for kind in ("experiment", "person", "api_key"):
        if kind in values:
            named |= budget_reading.owner_of(user=request.user, team=team, named=f"{kind}:{values.pop(kind)}")
    made = services.budget_create(actor=request.user, team=team, **values, **named)
    location = request.build_absolute_uri(reverse("api_budget", args=[made.uid]))
    return Response(_shown(made), status=201, headers={"Location": location})


@documented("budget", says="One budget.", method="GET", answer=BudgetSerializer, refusals=[404], tag=TAG)
@documented(
    "budget_change",
    says="Another limit, for the running period too. One below what is spent and held only stops new calls.",
    method="PATCH",
    answer=BudgetSerializer,
    request=BudgetLimitSerializer,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@documented(
    "budget_close",
    says="End it: no new call counts in it. It can still be read here, and what it counted on its page.",
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@api_view(["GET", "PATCH", "DELETE"])
@once
def budget(request: Request, uid: UUID) -> Response:
    """One budget, its limit, and its end."""
    action = "view" if request.method == "GET" else "manage"
    found = budget_reading.budget(user=request.user, uid=uid, action=action, **scope(request))
    if request.method == "DELETE":
        services.budget_close(actor=request.user, budget=found)
        return Response(status=204)
    if request.method == "PATCH":
        given = _checked(BudgetLimitSerializer, request)
        services.budget_limit_change(actor=request.user, budget=found, limit_nanousd=given["limit_nanousd"])
    return Response(_shown(found))


def _shown(found: Budget) -> Any:
    return BudgetSerializer(budget_reading.budget_rows([found])[0]).data


def _checked(shape: Any, request: Request) -> dict[str, Any]:
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)
