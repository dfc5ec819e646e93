"""Models by REST: what a team can call, by which names, and what that costs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.accounts.models import Team
from apps.billing.api.prices import ModelPriceSerializer, price_columns
from apps.billing.prices_now import prices_now
from apps.core.access import fetch_for_user
from apps.core.api.paging import Cursor
from apps.core.api.schema import documented
from apps.core.scopes import KeyScope
from apps.providers.availability import Hindrance, hindrance
from apps.providers.models import LanguageModel
from apps.providers.names import callable_names
from apps.providers.selectors import language_models

TAG = "models"
NO_PRICE = "unknown_price"


class ModelSerializer(serializers.ModelSerializer[LanguageModel]):
    """A model that can be called once its state is `ready` and `unavailable` is empty, by its `served_name` or by one
    of its `aliases`.

    `provider` is empty for what runs here; `retires_on` is the day from which the provider no longer answers, and
    `replaced_by` what it names instead. `unavailable` says in words why the model cannot be called now, and
    `unavailable_code` as a word that does not change. `context_length` is in tokens, 0 where it is not known.
    """

    kind = serializers.CharField()
    state = serializers.CharField()
    provider = serializers.CharField()
    aliases = serializers.SerializerMethodField()
    price = serializers.SerializerMethodField()
    unavailable = serializers.SerializerMethodField()
    unavailable_code = serializers.SerializerMethodField()

    class Meta:
        model = LanguageModel
        fields = (
            "uid",
            "name",
            "kind",
            "state",
            "unavailable",
            "unavailable_code",
            "served_name",
            "aliases",
            "price",
            "revision",
            "context_length",
            "provider",
            "provider_model",
            "retires_on",
            "replaced_by",
            "note",
            "created_at",
        )

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_aliases(self, model: LanguageModel) -> Any:
        return self.context["names"].get(model.pk, [])

    @extend_schema_field(ModelPriceSerializer(allow_null=True))
    def get_price(self, model: LanguageModel) -> Any:
        price = self.context["prices"].get(model.pk)
        return None if price is None else ModelPriceSerializer(price_columns(price)).data

    def get_unavailable(self, model: LanguageModel) -> str:
        found = self._hindrance(model)
        return found.says if found is not None else ""

    def get_unavailable_code(self, model: LanguageModel) -> str:
        found = self._hindrance(model)
        return found.code if found is not None else ""

    def _hindrance(self, model: LanguageModel) -> Hindrance | None:
        found = hindrance(model)
        if found is None and model.pk not in self.context["prices"]:
            says = _("It has no price, so it is not called. An owner or admin sets one on its page.")
            found = Hindrance(NO_PRICE, says)
        return found


@documented(
    "models",
    method="GET",
    answer=ModelSerializer,
    paged=True,
    tag=TAG,
    scope=(KeyScope.READ, KeyScope.GENERATE),
)
@api_view(["GET"])
def models(request: Request) -> Response:
    """The team's models with names, prices and whether they can be called, newest first."""
    team = team_for(request)
    cursor: CursorPagination = Cursor()
    found = language_models(user=request.user, team=team).select_related("team", "provider_key")
    return cursor.get_paginated_response(_shown(team, cursor.paginate_queryset(found, request) or []))


@documented("model", method="GET", answer=ModelSerializer, refusals=[404], tag=TAG)
@api_view(["GET"])
def model(request: Request, uid: UUID) -> Response:
    """One model: candidates and trainings can use it once its state is `ready`."""
    found = fetch_for_user(LanguageModel, request.user, uid=uid, **scope(request))
    return Response(_shown(found.team, [found])[0])


def _shown(team: Team, rows: Sequence[LanguageModel]) -> Any:
    context = {"names": callable_names(team.pk), "prices": prices_now(team, rows)}
    return ModelSerializer(rows, many=True, context=context).data
