"""What a request may say: read to the letter, as the OpenAPI document has it.

DRF's own fields take a number for a text, "yes" for true and "3" for a number. A program that sends one of these has a
mistake in it, which is better told than guessed around.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.request import Request

from apps.core.storable import storable_json

_WHOLE = re.compile(r"-?[0-9]+")


class RequestSerializer(serializers.Serializer[Any]):
    """A body in JSON. A value of another type than its field's is refused, by the field's name."""

    # What the document says of the body beyond its fields, as JSON Schema; `validate` holds it to that.
    SCHEMA: ClassVar[dict[str, Any]] = {}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            named = {name: _unlike(field, data[name]) for name, field in self.fields.items() if name in data}
            wrong = {name: said for name, said in named.items() if said}
            if wrong:
                raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)


class QuerySerializer(serializers.Serializer[Any]):
    """The parameters of an address. One that is there and empty is not left out."""

    @classmethod
    def asked(cls, request: Request) -> dict[str, Any]:
        """What the address asks for. ValidationError names the parameter."""
        given = cls(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def to_internal_value(self, data: Any) -> Any:
        wrong = {
            name: [_must_be(gettext_lazy("a whole number"))]
            for name, field in self.fields.items()
            if isinstance(field, serializers.IntegerField) and name in data and not _WHOLE.fullmatch(data[name])
        }
        if wrong:
            raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    # JSON knows no difference between 3 and 3.0.
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_amount(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


# The first that fits: some fields are others, too.
_KINDS: tuple[tuple[Any, Callable[[Any], bool], Promise], ...] = (
    (serializers.BooleanField, lambda value: isinstance(value, bool), gettext_lazy("true or false")),
    (serializers.IntegerField, _is_whole, gettext_lazy("a whole number")),
    (serializers.FloatField, _is_number, gettext_lazy("a number")),
    (serializers.DecimalField, _is_amount, gettext_lazy("a number")),
    (
        (
            serializers.CharField,
            serializers.ChoiceField,
            serializers.UUIDField,
            serializers.DateTimeField,
            serializers.DateField,
        ),
        _is_text,
        gettext_lazy("a text"),
    ),
)


def _unlike(field: Any, value: Any) -> Any:
    """What is wrong with the type of `value`, as DRF nests it; None or empty where nothing is.

    Null, and lists and objects where there should be none, are the field's own business, and a nested serializer's what
    it holds.
    """
    if value is None:
        return None
    if isinstance(field, serializers.ListField):
        found = enumerate(value) if isinstance(value, list) else ()
        return {number: said for number, each in found if (said := _unlike(field.child, each))}
    if isinstance(field, serializers.DictField):
        return _unlike_entries(field, value)
    for shapes, fits, kind in _KINDS:
        if isinstance(field, shapes):
            return None if fits(value) else [_must_be(kind)]
    return None


def _unlike_entries(field: serializers.DictField, value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    if storable_json(value) != value:
        return [_("A text in it holds a character that is no text (NUL or half of a pair). Remove it.")]
    return {name: said for name, each in value.items() if (said := _unlike(field.child, each))}


def _must_be(kind: Promise) -> str:
    return _("This must be %(kind)s.") % {"kind": kind}
