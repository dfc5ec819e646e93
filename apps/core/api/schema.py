"""What every route of the REST API says about itself in OpenAPI."""

from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from apps.core.api.examples import PROBLEMS, answer_examples, problem_examples, request_examples

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
    media: str = "application/json",
    says: str = "",
) -> Callable[[Any], Any]:
    """Above `api_view`: how a method of a route is called and answers. `says`, or the view's docstring, is its text."""
    write = method != "GET"
    # A caller with several teams who names none is answered 400 wherever the path names no object.
    codes = {400, 403, *refusals, *((422,) if write else ())}
    shape = _page_of(operation, answer) if paged else answer
    answers = {status: None} if answer is None else {(status, media): shape}
    return extend_schema(
        methods=[method],
        operation_id=operation,
        description=says or None,
        tags=[tag],
        request=request,
        parameters=[TEAM, *([KEY] if write else []), *(CURSOR if paged else ()), *parameters],
        responses={**answers, **{(code, PROBLEM_TYPE): _problem(code) for code in sorted(codes)}},
        examples=[*request_examples(operation), *answer_examples(operation, status)],
    )


def _problem(code: int) -> OpenApiResponse:
    return OpenApiResponse(ProblemSerializer, description=PROBLEMS[code].when, examples=problem_examples(code))


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
