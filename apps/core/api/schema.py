"""What every route of the REST API says about itself in OpenAPI."""

from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers

PROBLEM_TYPE = "application/problem+json"
TEAM = OpenApiParameter(
    "LLMOpt-Team",
    location=OpenApiParameter.HEADER,
    description="Slug of the team. Needed by a caller with several teams wherever the path names no object.",
)
KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="The same key, team, path and body get the same answer again for 24 hours; another body gets 422.",
)
CURSOR = (
    OpenApiParameter("cursor", description="As in `next` and `previous` of a page."),
    OpenApiParameter("limit", OpenApiTypes.INT, description="Rows of a page, 50 unless told, 200 at most."),
)


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457). `code` is stable; `title` is for people."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    field = serializers.CharField(required=False, help_text="The part of the request that is at fault.")
    errors = serializers.JSONField(required=False, help_text="Errors by field, when the shape is wrong.")  # type: ignore[assignment]


def documented(
    operation: str,
    *,
    method: str,
    answer: Any,
    status: int = 200,
    request: Any = None,
    paged: bool = False,
    refusals: Sequence[int] = (),
    parameters: Sequence[OpenApiParameter] = (),
    tag: str,
) -> Callable[[Any], Any]:
    """Above `api_view`: how one method of a route is called and answers. The docstring of the view is its text."""
    write = method != "GET"
    codes = {403, *refusals, *((400, 422) if write else ())}
    shape = _page_of(operation, answer) if paged else answer
    return extend_schema(
        methods=[method],
        operation_id=operation or None,
        tags=[tag],
        request=request,
        parameters=[TEAM, *([KEY] if write else []), *(CURSOR if paged else ()), *parameters],
        responses={status: shape, **{(code, PROBLEM_TYPE): ProblemSerializer for code in sorted(codes)}},
    )


def _page_of(operation: str, answer: Any) -> Any:
    name = "".join(part.capitalize() for part in operation.split("_"))
    return inline_serializer(
        name=f"{name}Page",
        fields={
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
            "results": answer(many=True),
        },
    )
