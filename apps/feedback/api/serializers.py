"""Shapes of feedback."""

import re
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.api.paging import PageQuery
from apps.core.api.shapes import RequestSerializer
from apps.feedback.models import Feedback
from apps.feedback.services import MOST_CHARACTERS, SCALE_ENDS

_ID = re.compile(r"(?:chatcmpl-)?([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")
THUMBS = {"up": True, "down": False}


@extend_schema_field({"type": "string", "pattern": f"^{_ID.pattern}$"})
class GenerationField(serializers.Field[Any, Any, Any, Any]):
    """The id of an answer as `generate` names it, or as the gateway does (`chatcmpl-…`)."""

    def to_internal_value(self, data: Any) -> UUID:
        found = _ID.fullmatch(data) if isinstance(data, str) else None
        if found is None:
            raise serializers.ValidationError(_("This is no id of a generation."))
        return UUID(found[1])

    def to_representation(self, value: Any) -> str:
        return str(value)


class ScaleSerializer(RequestSerializer):
    low = serializers.IntegerField(min_value=SCALE_ENDS[0], max_value=SCALE_ENDS[1])
    high = serializers.IntegerField(min_value=SCALE_ENDS[0], max_value=SCALE_ENDS[1])


class FeedbackGiveSerializer(RequestSerializer):
    """A `rating` with its `scale` (1 to 5 unless told), a `thumb`, or a choice: `other`, and `preferred`, which is one
    of the two generations or null for a tie.
    """

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"required": [*names], "not": {"anyOf": [{"required": [other]} for other in others]}}
            for names, others in (
                (("rating",), ("thumb", "other", "preferred")),
                (("thumb",), ("rating", "scale", "other", "preferred")),
                (("other", "preferred"), ("rating", "scale", "thumb")),
            )
        ]
    }
    generation = GenerationField(help_text="The id that an answer carries; the gateway's `chatcmpl-…` will do.")
    rating = serializers.IntegerField(required=False, min_value=SCALE_ENDS[0], max_value=SCALE_ENDS[1])
    scale = ScaleSerializer(required=False)
    thumb = serializers.ChoiceField(choices=list(THUMBS), required=False)
    other = GenerationField(required=False)
    preferred = GenerationField(required=False, allow_null=True)
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=MOST_CHARACTERS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kinds = [name for name in ("rating", "thumb", "other") if name in attrs]
        if len(kinds) != 1:
            raise serializers.ValidationError({"rating": [_("Send one of rating, thumb and other.")]})
        if ("preferred" in attrs) != ("other" in attrs):
            raise serializers.ValidationError(
                {"preferred": [_("A choice has both other and preferred; preferred is null for a tie.")]}
            )
        if "scale" in attrs and "rating" not in attrs:
            raise serializers.ValidationError({"scale": [_("Only a rating has a scale.")]})
        return attrs


class FeedbackSerializer(serializers.ModelSerializer[Feedback]):
    """What one giver said. `rating` has a `scale`; a choice has `other`, and `preferred` null for a tie. `model` and
    `other_model` answered the generations. `api_key` is null where a person said it; `comment` is theirs.
    """

    kind = serializers.ChoiceField(choices=Feedback.Kind.choices)
    generation = serializers.UUIDField(source="generation.uid")
    model = serializers.CharField(source="generation.language_model.served_name")
    scale = serializers.SerializerMethodField()
    thumb = serializers.SerializerMethodField()
    other = serializers.UUIDField(source="other.uid", allow_null=True, default=None)
    other_model = serializers.CharField(source="other.language_model.served_name", allow_null=True, default=None)
    preferred = serializers.UUIDField(source="preferred.uid", allow_null=True, default=None)
    person = serializers.EmailField(source="person.email")
    api_key = serializers.UUIDField(source="api_key.uid", allow_null=True, default=None)

    class Meta:
        model = Feedback
        fields = (
            "uid",
            "kind",
            "generation",
            "model",
            "rating",
            "scale",
            "thumb",
            "other",
            "other_model",
            "preferred",
            "comment",
            "person",
            "api_key",
            "given_at",
        )

    @extend_schema_field(ScaleSerializer(allow_null=True))
    def get_scale(self, row: Feedback) -> Any:
        return None if row.rating is None else {"low": row.scale_low, "high": row.scale_high}

    @extend_schema_field(serializers.ChoiceField(choices=list(THUMBS), allow_null=True))
    def get_thumb(self, row: Feedback) -> str | None:
        return None if row.thumb_up is None else "up" if row.thumb_up else "down"


class FeedbackFilterSerializer(PageQuery):
    generation = GenerationField(required=False, help_text="Of one generation alone, by its id.")
    model = serializers.UUIDField(required=False, help_text="Of what one model answered, by its public id.")
    first = serializers.DateField(required=False, help_text="From this day of the team's time zone on.")
    last = serializers.DateField(required=False, help_text="Up to this day, which is in it.")
