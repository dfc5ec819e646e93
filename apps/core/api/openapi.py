"""How shapes of requests are written into the OpenAPI document."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from apps.core.api.shapes import QuerySerializer, RequestSerializer

# NUL is refused everywhere. What is trimmed before it is looked at is not made of spaces alone.
_ANY_TEXT = r"^[^\x00]*$"
_SOME_TEXT = r"^[^\x00]*[^\x00\s][^\x00]*$"


class RequestSchema(AutoSchema):
    """Says of a request what DRF checks and drf-spectacular leaves out."""

    def _map_basic_serializer(self, serializer: Any, direction: str) -> Any:
        found = super()._map_basic_serializer(serializer, direction)
        if isinstance(serializer, RequestSerializer):
            found.update(serializer.SCHEMA)
            if type(serializer).__doc__ is None:
                # It would be the base class's, which says nothing of this body.
                found.pop("description", None)
        return found

    def _insert_field_validators(self, field: Any, schema: Any) -> None:
        super()._insert_field_validators(field, schema)
        if schema.get("type") == "array" and getattr(field, "allow_empty", True) is False:
            schema.setdefault("minItems", 1)
        is_plain_text = schema.get("type") == "string" and not schema.keys() & {"format", "pattern", "enum"}
        if is_plain_text and isinstance(field, serializers.CharField) and _is_read(field):
            schema["pattern"] = _SOME_TEXT if field.trim_whitespace and not field.allow_blank else _ANY_TEXT


def _is_read(field: Any) -> bool:
    parent = field.parent
    while isinstance(parent, serializers.ListField | serializers.DictField):
        parent = parent.parent
    return isinstance(parent, RequestSerializer | QuerySerializer)
