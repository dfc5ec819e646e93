"""Alerts by REST: what was told, how each message fared, and the places where alerts go."""

import json
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.billing import alert_reading, alert_texts, services
from apps.billing.models import Alert, AlertDelivery, AlertDestination
from apps.core.api.once import done_once, once
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.core.api.shapes import RequestSerializer

TAG = "alerts"


class AlertDestinationSerializer(serializers.Serializer[Any]):
    """`address` is empty for the team's owners and admins; of a chat's, which is a secret, it is the host and the end.
    `last_state` is that of the last message there, tests included, null before the first.
    """

    uid = serializers.UUIDField()
    kind = serializers.CharField(help_text="`email`, `webhook` (signed) or `chat`.")
    address = serializers.CharField()
    last_state = serializers.CharField(allow_null=True, default=None)
    last_at = serializers.DateTimeField(allow_null=True, default=None)
    created_at = serializers.DateTimeField()
    removed_at = serializers.DateTimeField(allow_null=True)


class AlertDestinationMadeSerializer(AlertDestinationSerializer):
    """`secret` is what a webhook is signed with; null for other kinds."""

    secret = serializers.SerializerMethodField(
        help_text="In this answer and nowhere else: one that is repeated for its Idempotency-Key has null."
    )

    def get_secret(self, _row: AlertDestination) -> str | None:
        """Put in by the view, which gets it from the service; the row has it sealed."""
        return None


class AlertDestinationCreateSerializer(RequestSerializer):
    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"properties": {"kind": {"pattern": "^email$"}}},
            {
                "properties": {"kind": {"pattern": "^(webhook|chat)$"}, "address": {"pattern": "^https://"}},
                "required": ["address"],
            },
        ]
    }
    kind = serializers.ChoiceField(choices=AlertDestination.Kind.values)
    address = serializers.CharField(
        max_length=500,
        default="",
        allow_blank=True,
        help_text="An e-mail address, or nothing for the team's owners and admins; the https address of a webhook.",
    )


class AlertDeliverySerializer(serializers.Serializer[Any]):
    """One message. `recipient` is empty but for e-mail; `error` says why the last try did not succeed."""

    destination = serializers.UUIDField(source="destination.uid")
    recipient = serializers.CharField()
    state = serializers.CharField(help_text="`pending`, `sent`, `failed` or `not_sent`.")
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.SerializerMethodField(help_text="Null unless it is pending.")
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)

    def get_next_attempt_at(self, row: AlertDelivery) -> datetime | None:
        return row.next_attempt_at if row.state == AlertDelivery.State.PENDING else None


class AlertSerializer(serializers.Serializer[Any]):
    """Figures in nano-dollars, as they were. `level_percent` is of `spent` alone, `needed_nanousd` of a refused call;
    `budget` and `period_key` are null of an `overrun`, whose model and day (UTC) are given instead.
    """

    uid = serializers.UUIDField()
    kind = serializers.CharField(help_text="`spent`, `refused` or `overrun`.")
    level_percent = serializers.SerializerMethodField()
    title = serializers.SerializerMethodField()
    text = serializers.SerializerMethodField()
    budget = serializers.UUIDField(source="budget_period.budget.uid", allow_null=True, default=None)
    period_key = serializers.CharField(source="budget_period.key", allow_null=True, default=None)
    model = serializers.UUIDField(source="language_model.uid", allow_null=True, default=None)
    day = serializers.DateField(allow_null=True)
    limit_nanousd = serializers.IntegerField()
    spent_nanousd = serializers.IntegerField()
    held_nanousd = serializers.IntegerField()
    needed_nanousd = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
    deliveries = AlertDeliverySerializer(many=True)

    def get_level_percent(self, row: Alert) -> int | None:
        return row.level if row.kind == Alert.Kind.SPENT else None

    def get_title(self, row: Alert) -> str:
        return alert_texts.title_of(row)

    def get_text(self, row: Alert) -> str:
        return alert_texts.text_of(row)


@documented(
    "alerts",
    says="What was told about the team's budgets and calls, newest first, each with its messages.",
    method="GET",
    answer=AlertSerializer,
    paged=True,
    tag=TAG,
)
@api_view(["GET"])
def alerts(request: Request) -> Response:
    found = alert_reading.alerts(user=request.user, team=team_for(request))
    return page(request, alert_reading.with_deliveries(found), AlertSerializer)


@documented(
    "alert_destinations",
    says="Where the team's alerts go, newest first. Those who manage a team also find them on its pages.",
    method="GET",
    answer=AlertDestinationSerializer,
    paged=True,
    tag=TAG,
)
@documented(
    "alert_destination_create",
    says="Have alerts sent to one more place. The `secret` of a webhook is in this answer and nowhere else.",
    method="POST",
    answer=AlertDestinationMadeSerializer,
    status=201,
    request=AlertDestinationCreateSerializer,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@api_view(["GET", "POST"])
def alert_destinations(request: Request) -> Response:
    """Places; or one more. An API key adds none: it could send what a team is told to where it likes."""
    if request.method == "POST":
        return _place_made(request)
    found = alert_reading.destinations(user=request.user, team=team_for(request))
    return page(request, found, AlertDestinationSerializer)


def _place_made(request: Request) -> Response:
    """The answer without its secret is what an Idempotency-Key gets again: secrets are stored sealed, or not at all."""
    secrets: list[str] = []

    def make() -> Response:
        team = team_for(request, "manage")
        given = AlertDestinationCreateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made, secret = services.alert_destination_create(actor=request.user, team=team, **given.validated_data)
        secrets.append(secret)
        location = request.build_absolute_uri(reverse("api_alert_destination", args=[made.uid]))
        return Response(AlertDestinationMadeSerializer(made).data, status=201, headers={"Location": location})

    answer = done_once(request, json.dumps(request.data, sort_keys=True), make)
    for secret in filter(None, secrets):
        answer.data = {**answer.data, "secret": secret}
    return answer


@documented(
    "alert_destination",
    says="One place, also after its end.",
    method="GET",
    answer=AlertDestinationSerializer,
    refusals=[404],
    tag=TAG,
)
@documented(
    "alert_destination_remove",
    says="Send no alert there any more, and delete its secret. What was sent stays listed.",
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@api_view(["GET", "DELETE"])
@once
def alert_destination(request: Request, uid: UUID) -> Response:
    """One place, and its end."""
    action = "view" if request.method == "GET" else "manage"
    found = alert_reading.destination(user=request.user, uid=uid, action=action, **scope(request))
    if request.method == "DELETE":
        services.alert_destination_remove(actor=request.user, destination=found)
        return Response(status=204)
    return Response(AlertDestinationSerializer(found).data)
