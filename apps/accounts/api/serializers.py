"""Shapes of API keys and tokens."""

from typing import Any

from rest_framework import serializers

from apps.accounts.models import APIKey
from apps.core.api.shapes import RequestSerializer
from apps.core.scopes import KeyScope


class SignInSerializer(RequestSerializer):
    email = serializers.EmailField()
    password = serializers.CharField(trim_whitespace=False, min_length=1, max_length=4096)


class RefreshSerializer(RequestSerializer):
    refresh = serializers.CharField(min_length=1, max_length=4096)


class TokenPairSerializer(serializers.Serializer[Any]):
    """`access` opens what its person may for `expires_in` seconds; `refresh` gets the next pair, once."""

    token_type = serializers.SerializerMethodField()
    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField()

    def get_token_type(self, _pair: Any) -> str:
        return "Bearer"


class APIKeySerializer(serializers.ModelSerializer[APIKey]):
    person = serializers.EmailField(source="person.email")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=KeyScope.choices))
    state = serializers.ChoiceField(choices=["active", "expired", "revoked"])

    class Meta:
        model = APIKey
        fields: tuple[str, ...] = (
            "uid",
            "name",
            "prefix",
            "last_four",
            "person",
            "scopes",
            "state",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        )


class APIKeyMadeSerializer(APIKeySerializer):
    """`key` is the key itself. It is in this answer and nowhere else."""

    key = serializers.SerializerMethodField()

    class Meta(APIKeySerializer.Meta):
        fields = (*APIKeySerializer.Meta.fields, "key")

    def get_key(self, _row: APIKey) -> str:
        return str(self.context["text"])


class APIKeyCreateSerializer(RequestSerializer):
    name = serializers.CharField(min_length=1, max_length=80)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=KeyScope.choices), allow_empty=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Null: until it is revoked.")


class APIKeyChangeSerializer(RequestSerializer):
    name = serializers.CharField(min_length=1, max_length=80, required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Null: until it is revoked.")
