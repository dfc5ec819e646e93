"""Provider keys by REST. A key is sent here and never answered: what is shown of it are its last four characters.

API keys read and change nothing here: one that leaked could send every prompt of the team to a server of its finder's.
"""

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.core.access import fetch_for_user
from apps.core.api.once import once
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.core.api.shapes import RequestSerializer
from apps.providers import selectors, services
from apps.providers.models import MOST_AT_ONCE, Provider, ProviderKey
from apps.providers.services.keys import LONGEST_KEY, SHORTEST_KEY

TAG = "provider-keys"


class ProviderKeySerializer(serializers.ModelSerializer[ProviderKey]):
    """A key without its secret. `check_error` is what the last test of it said was wrong."""

    provider = serializers.CharField()
    source = serializers.CharField(help_text="`entered` by the team, or from the `environment`.")  # type: ignore[assignment]
    state = serializers.CharField(help_text="`untested`, `working`, `failing` or `revoked`.")

    class Meta:
        model = ProviderKey
        fields = (
            "uid",
            "name",
            "provider",
            "source",
            "base_url",
            "last_four",
            "state",
            "checked_at",
            "check_error",
            "max_concurrency",
            "requests_per_minute",
            "created_at",
            "revoked_at",
        )


@extend_schema_field({"type": "string", "pattern": f"^[!-~]{{{SHORTEST_KEY},{LONGEST_KEY}}}$"})
class SecretField(serializers.CharField):
    """The text of a key. The service says what is wrong with one, and never repeats it."""


class LimitsSerializer(RequestSerializer):
    """`max_concurrency` calls at once; `requests_per_minute` null: as many as the provider takes."""

    max_concurrency = serializers.IntegerField(min_value=1, max_value=MOST_AT_ONCE, required=False)
    requests_per_minute = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False, allow_null=True)


class ProviderKeyCreateSerializer(LimitsSerializer):
    """`source` `environment` takes up the operator's key and sends nothing else than `provider`."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"properties": {"source": {"pattern": "^environment$"}}, "required": ["source"]},
            {
                "properties": {
                    "provider": {"pattern": "^(openai|anthropic)$"},
                    "source": {"pattern": "^entered$"},
                    "secret": {"minLength": SHORTEST_KEY},
                },
                "required": ["secret"],
                "not": {"required": ["base_url"]},
            },
            {
                "properties": {"provider": {"pattern": "^compatible$"}, "source": {"pattern": "^entered$"}},
                "required": ["base_url"],
            },
        ]
    }
    provider = serializers.ChoiceField(choices=Provider.values)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=ProviderKey.Source.values, default=ProviderKey.Source.ENTERED
    )
    secret = SecretField(required=False, allow_blank=True, max_length=LONGEST_KEY, write_only=True)
    name = serializers.CharField(required=False, max_length=80)
    base_url = serializers.CharField(required=False, max_length=500, help_text="Of a `compatible` server alone.")


class SecretSerializer(RequestSerializer):
    secret = SecretField(max_length=LONGEST_KEY, write_only=True)


@documented(
    "provider_keys",
    says="The team's keys for providers, newest first, those that were revoked too.",
    method="GET",
    answer=ProviderKeySerializer,
    paged=True,
    tag=TAG,
)
@documented(
    "provider_key_create",
    says="Keep a key. Its text is encrypted and never answered.",
    method="POST",
    answer=ProviderKeySerializer,
    status=201,
    request=ProviderKeyCreateSerializer,
    refusals=[409],
    scope=None,
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def provider_keys(request: Request) -> Response:
    """The team's keys for providers; or one more."""
    if request.method != "POST":
        return page(request, selectors.provider_keys(user=request.user, team=team_for(request)), ProviderKeySerializer)
    team = team_for(request, "manage")
    values = _checked(ProviderKeyCreateSerializer, request)
    if values.pop("source") == ProviderKey.Source.ENVIRONMENT:
        made = services.provider_key_from_environment(actor=request.user, team=team, provider=values["provider"])
    else:
        made = services.provider_key_create(actor=request.user, team=team, **values)
    location = request.build_absolute_uri(reverse("api_provider_key", args=[made.uid]))
    return Response(ProviderKeySerializer(made).data, status=201, headers={"Location": location})


@documented("provider_key", says="One key.", method="GET", answer=ProviderKeySerializer, refusals=[404], tag=TAG)
@documented(
    "provider_key_limits",
    says="Other limits; what is left out stays.",
    method="PATCH",
    answer=ProviderKeySerializer,
    request=LimitsSerializer,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@documented(
    "provider_key_revoke",
    says="Delete the secret and revoke the key. Its models need another before they can answer.",
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@api_view(["GET", "PATCH", "DELETE"])
@once
def provider_key(request: Request, uid: UUID) -> Response:
    """One key, its limits, and its end."""
    if request.method == "GET":
        return Response(ProviderKeySerializer(_key(request, uid, "view")).data)
    key = _key(request, uid, "manage")
    if request.method == "DELETE":
        services.provider_key_revoke(actor=request.user, key=key)
        return Response(status=204)
    given = _checked(LimitsSerializer, request)
    kept = {"max_concurrency": key.max_concurrency, "requests_per_minute": key.requests_per_minute}
    changed = services.provider_key_limits_change(actor=request.user, key=key, **{**kept, **given})
    return Response(ProviderKeySerializer(changed).data)


@documented(
    "provider_key_replace",
    says="Another secret in the place of the old one; name, limits and models stay.",
    method="POST",
    answer=ProviderKeySerializer,
    request=SecretSerializer,
    refusals=[404, 409],
    scope=None,
    tag=TAG,
)
@api_view(["POST"])
@once
def replace(request: Request, uid: UUID) -> Response:
    """Another secret in the place of the old one."""
    key = _key(request, uid, "manage")
    changed = services.provider_key_replace(
        actor=request.user, key=key, secret=_checked(SecretSerializer, request)["secret"]
    )
    return Response(ProviderKeySerializer(changed).data)


def _key(request: Request, uid: UUID, action: str) -> ProviderKey:
    return fetch_for_user(ProviderKey, request.user, action, uid=uid, **scope(request))


def _checked(shape: Any, request: Request) -> dict[str, Any]:
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)
