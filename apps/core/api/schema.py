"""What every route of the REST API says about itself in OpenAPI."""

from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from apps.core.api.examples import PROBLEMS, answer_examples, problem_examples, request_examples
from apps.core.api.paging import PageQuery
from apps.core.api.shapes import QuerySerializer
from apps.core.idempotency import MAX_KEY
from apps.core.scopes import KeyScope

PROBLEM_TYPE = "application/problem+json"
EVENTS_TYPE = "text/event-stream"
TEAM = OpenApiParameter(
    "LLMOpt-Team",
    {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"},
    location=OpenApiParameter.HEADER,
    description="Slug of the team. Needed by a caller with several teams wherever the path names no object.",
)
KEY_TEXT = {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$", "minLength": 1, "maxLength": MAX_KEY}
KEY = OpenApiParameter(
    "Idempotency-Key",
    KEY_TEXT,
    location=OpenApiParameter.HEADER,
    description="The same key, team, path and body get the same answer again for 24 hours; another body gets 409.",
)
_CHALLENGE = OpenApiParameter(
    "WWW-Authenticate", location=OpenApiParameter.HEADER, required=True, response=[401], description="How to sign in."
)
_WAIT = OpenApiParameter(
    "Retry-After",
    {"type": "integer", "minimum": 1},
    location=OpenApiParameter.HEADER,
    required=True,
    response=[429],
    description="In how many seconds it may be called again.",
)
# What closes an operation to API keys.
PERSONS_ONLY: Any = [{"accessToken": []}, {"cookieAuth": []}]
BY_METHOD: Any = object()


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
    query: type[QuerySerializer] | None = None,
    streams: bool = False,
    refusals: Sequence[int] = (),
    parameters: Sequence[OpenApiParameter] = (),
    tag: str,
    media: str = "application/json",
    says: str = "",
    scope: KeyScope | Sequence[KeyScope] | None = BY_METHOD,
    repeatable: bool = True,
    signed_in: bool = True,
) -> Callable[[Any], Any]:
    """Above `api_view`: how a method of a route is called and answers. `says`, or the view's docstring, is its text.

    `query` is what reads its address; `streams`, that it may also answer with server-sent events.
    `scope` is what an API key needs, one of several being enough: unless told, `read` for a GET and `write` for all
    else. None closes it to keys. `repeatable` says whether a write takes an `Idempotency-Key` (apps.core.api.once),
    `signed_in` whether the caller is somebody with a team.
    """
    keyed = method != "GET" and repeatable
    scopes = _scopes(scope, method) if signed_in else ()
    # A caller with several teams who names none is answered 400 wherever the path names no object.
    # A header that names somebody else's team is answered 404 everywhere.
    codes = {400, 401, 429, *refusals, *((403, 404) if signed_in else ()), *((409,) if keyed else ())}
    shape = _page_of(operation, answer) if paged else answer
    answers: dict[Any, Any] = {status: None} if answer is None else {(status, media): shape}
    if streams:
        answers[(status, EVENTS_TYPE)] = OpenApiTypes.STR
    asked = query or (PageQuery if paged else None)
    named: list[Any] = [*([TEAM] if signed_in else []), *([KEY] if keyed else []), *([asked] if asked else [])]
    described = extend_schema(
        methods=[method],
        operation_id=operation,
        description=says or None,
        tags=[tag],
        request=request,
        auth=None if scopes or not signed_in else PERSONS_ONLY,
        extensions={"x-api-key-scopes": list(scopes)} if signed_in else None,
        parameters=[*named, *parameters, _CHALLENGE, _WAIT],
        responses={**answers, **{(code, PROBLEM_TYPE): _problem(code) for code in sorted(codes)}},
        examples=[*request_examples(operation), *answer_examples(operation, status)],
    )

    def decorate(view: Any) -> Any:
        # Read by apps.core.api.permissions. What `api_view` made has its class as `cls`; else this is a class's method.
        holder = getattr(view, "cls", view)
        holder.key_scopes = {**getattr(holder, "key_scopes", {}), method: scopes}
        return described(view)

    return decorate


def _scopes(scope: Any, method: str) -> tuple[str, ...]:
    if scope is BY_METHOD:
        return (KeyScope.READ.value,) if method == "GET" else (KeyScope.WRITE.value,)
    if scope is None:
        return ()
    return (scope.value,) if isinstance(scope, KeyScope) else tuple(each.value for each in scope)


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
