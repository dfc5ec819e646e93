"""API keys by REST. Keys themselves are refused here: one that could make others would outlive its own end."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.serializers import (
    APIKeyChangeSerializer,
    APIKeyCreateSerializer,
    APIKeyMadeSerializer,
    APIKeySerializer,
)
from apps.accounts.api.teams import scope, team_for
from apps.accounts.selectors import api_key_for, api_keys_of
from apps.accounts.services.keys import api_key_change, api_key_create, api_key_revoke
from apps.core.api.paging import page
from apps.core.api.schema import documented

TAG = "api-keys"


@documented(
    "api_keys",
    says="One's own keys, newest first; those of everybody in the team for owners and admins.",
    method="GET",
    answer=APIKeySerializer,
    paged=True,
    tag=TAG,
    scope=None,
)
@documented(
    "api_key_create",
    says="Make a key of one's own. `key` is in this answer and nowhere else, so the call is not repeatable.",
    method="POST",
    answer=APIKeyMadeSerializer,
    status=201,
    request=APIKeyCreateSerializer,
    tag=TAG,
    scope=None,
    repeatable=False,
)
@api_view(["GET", "POST"])
def api_keys(request: Request) -> Response:
    team = team_for(request, "view")
    if request.method != "POST":
        return page(request, api_keys_of(user=request.user, team=team), APIKeySerializer)
    given = APIKeyCreateSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    person: Any = request.user
    made = api_key_create(actor=person, team=team, **given.validated_data)
    location = request.build_absolute_uri(reverse("api_api_key", args=[made.key.uid]))
    body = APIKeyMadeSerializer(made.key, context={"text": made.text}).data
    return Response(body, status=201, headers={"Location": location, "Cache-Control": "no-store"})


@documented("api_key", says="One key.", method="GET", answer=APIKeySerializer, refusals=[404], tag=TAG, scope=None)
@documented(
    "api_key_change",
    says="Another name or end. Only the person whose key it is changes it; its scopes stay.",
    method="PATCH",
    answer=APIKeySerializer,
    request=APIKeyChangeSerializer,
    refusals=[404],
    tag=TAG,
    scope=None,
    repeatable=False,
)
@documented(
    "api_key_revoke",
    says="Revoke it for good. Every process refuses it within five seconds; the row stays in the list.",
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404],
    tag=TAG,
    scope=None,
    repeatable=False,
)
@api_view(["GET", "PATCH", "DELETE"])
def api_key(request: Request, uid: UUID) -> Response:
    found = api_key_for(user=request.user, uid=uid, **scope(request))
    person: Any = request.user
    if request.method == "DELETE":
        api_key_revoke(actor=person, key=found)
        return Response(status=204)
    if request.method == "PATCH":
        given = APIKeyChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = {"name": found.name, "expires_at": found.expires_at, **given.validated_data}
        found = api_key_change(actor=person, key=found, **values)
    return Response(APIKeySerializer(found).data)
