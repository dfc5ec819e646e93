"""`POST generate`: one metered answer, whole or in pieces, with what it cost."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import team_for
from apps.accounts.models import Team
from apps.billing import loop_thread
from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.generating import Caller, answered, callable_model, metered_call
from apps.billing.metering import GenerateRequest, Message, Metering, TextDelta
from apps.core.access import fetch_for_user
from apps.core.api.schema import KEY_TEXT, documented
from apps.core.api.shapes import RequestSerializer
from apps.core.errors import ApplicationError, translated
from apps.core.idempotency import checked_key
from apps.core.problems import problem
from apps.core.scopes import KeyScope
from apps.experiments.engine.prompts import PromptError, render_messages
from apps.experiments.models import PromptVersion
from apps.experiments.selectors import prompt_spec

ONCE = OpenApiParameter(
    "Idempotency-Key",
    KEY_TEXT,
    location=OpenApiParameter.HEADER,
    description="The same key, team and body get the stored answer again, at no cost.",
)
MOST_MESSAGES = 1000
MOST_CHARACTERS = 1_000_000


class TurnSerializer(RequestSerializer):
    role = serializers.ChoiceField(choices=["system", "user", "assistant"])
    content = serializers.CharField(max_length=MOST_CHARACTERS, trim_whitespace=False, allow_blank=True)


class GenerateSerializer(RequestSerializer):
    """Either `messages`, or `prompt`: a text that is sent as it is, or as the input of `prompt_version`."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"required": ["messages"], "not": {"anyOf": [{"required": ["prompt"]}, {"required": ["prompt_version"]}]}},
            {"required": ["prompt"], "not": {"required": ["messages"]}},
        ]
    }
    model = serializers.CharField(max_length=200, help_text="A name that /v1/models lists: its own or an alias.")
    messages = serializers.ListField(child=TurnSerializer(), required=False, min_length=1, max_length=MOST_MESSAGES)
    prompt = serializers.CharField(max_length=MOST_CHARACTERS, trim_whitespace=False, required=False)
    prompt_version = serializers.UUIDField(required=False, help_text="Public id of a version of a prompt.")
    columns = serializers.DictField(
        child=serializers.CharField(allow_blank=True), required=False, help_text="Its other variables."
    )
    max_tokens = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    temperature = serializers.FloatField(min_value=0, max_value=2, required=False)
    cache = serializers.BooleanField(
        required=False, help_text="Whether a stored answer will do. Unless told, only at temperature 0."
    )
    stream = serializers.BooleanField(default=False, help_text="Answer with server-sent events.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("messages" in attrs) == ("prompt" in attrs):
            raise serializers.ValidationError({"messages": [_("Send either messages or a prompt.")]})
        if "prompt_version" in attrs and "prompt" not in attrs:
            raise serializers.ValidationError({"prompt": [_("A prompt version needs the text of its input.")]})
        return attrs


class TokensUsedSerializer(serializers.Serializer[Any]):
    """Cached and reasoning tokens are parts of the first two."""

    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cached_prompt_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()


class GeneratedSerializer(serializers.Serializer[Any]):
    """An answer with what it cost. `cost_is_bound`: the provider did not say, so the most it can be is booked."""

    generation = serializers.SerializerMethodField(help_text="Names the answer, for feedback on it.")
    model = serializers.SerializerMethodField(help_text="The own name of the model that answered.")
    output = serializers.CharField(source="text")
    finish_reason = serializers.CharField()
    usage = TokensUsedSerializer(source="*")
    cost_nanousd = serializers.IntegerField()
    cost_is_bound = serializers.BooleanField(source="bounded")
    latency_ms = serializers.FloatField(allow_null=True)
    cached = serializers.BooleanField()

    def get_generation(self, result: MeteredResult) -> UUID:
        return UUID(hex=result.generation_uid)

    def get_model(self, _result: MeteredResult) -> str:
        call: MeteredCall = self.context["call"]
        return call.language_model.served_name


@documented(
    "generate",
    says=(
        "Call a model once, inside the budgets of the team, the person and the key. With `stream` the answer comes as "
        'server-sent events: `{"text": …}` for each piece, then the whole of it as without, or a problem.'
    ),
    method="POST",
    answer=GeneratedSerializer,
    request=GenerateSerializer,
    refusals=[402, 404, 409, 502, 503, 504],
    scope=KeyScope.GENERATE,
    parameters=[ONCE],
    repeatable=False,
    streams=True,
    tag="generate",
)
@api_view(["POST"])
def generate(request: Request) -> HttpResponseBase:
    """One answer of a model."""
    team = team_for(request, "edit")
    given = GenerateSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    call = _call(request, team, given.validated_data)
    if given.validated_data["stream"]:
        response = StreamingHttpResponse(_events(call), content_type="text/event-stream; charset=utf-8")
        response["Cache-Control"], response["X-Accel-Buffering"] = "no-store, no-transform", "no"
        return response
    return Response(_generated(call, loop_thread.generate(call)))


def _call(request: Request, team: Team, values: dict[str, Any]) -> MeteredCall:
    sent = request.headers.get("Idempotency-Key")
    once = checked_key(sent) if sent is not None else ""
    key = getattr(request.user, "through_key", None)
    model = callable_model(team.pk, values["model"])
    wanted = GenerateRequest(
        model=model.name,
        messages=_messages(request, values),
        max_tokens=values.get("max_tokens") or settings.GATEWAY_MAX_TOKENS,
        temperature=values.get("temperature"),
    )
    caller = Caller(team.pk, request.user.pk, key.id if key is not None else None)
    use_cache = bool(once) or values.get("cache", values.get("temperature") == 0)
    repeat = _number_of(once) if once else 0
    return metered_call(caller, model, wanted, purpose="generate", use_cache=use_cache, repeat=repeat)


def _generated(call: MeteredCall, result: MeteredResult) -> Any:
    return GeneratedSerializer(answered(result), context={"call": call}).data


def _number_of(key: str) -> int:
    """The draw that an Idempotency-Key names: asked again with it, the same question gets the stored answer."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


def _messages(request: Request, values: dict[str, Any]) -> tuple[Message, ...]:
    if "messages" in values:
        return tuple(Message(**message) for message in values["messages"])
    if "prompt_version" not in values:
        return (Message("user", values["prompt"]),)
    version = fetch_for_user(PromptVersion, request.user, uid=values["prompt_version"])
    try:
        return render_messages(prompt_spec(version), values["prompt"], values.get("columns") or {})
    except PromptError as error:
        raise ApplicationError(translated(error), code="prompt_invalid", field="prompt_version") from error


async def _events(call: MeteredCall) -> AsyncIterator[bytes]:
    """A caller who leaves closes this, and the answer is read on for a while to learn what it cost."""
    try:
        async with Metering() as metering, aclosing(metering.stream(call)) as pieces:
            async for piece in pieces:
                if isinstance(piece, TextDelta):
                    yield _event({"text": piece.text})
                elif isinstance(piece, MeteredResult):
                    yield _event(_generated(call, piece))
    except ApplicationError as error:
        yield _event(problem(error.status, error.code, error.message).data, kind="problem")


def _event(content: Any, kind: str = "message") -> bytes:
    name = f"event: {kind}\n" if kind != "message" else ""
    return f"{name}data: {json.dumps(content, default=str)}\n\n".encode()
