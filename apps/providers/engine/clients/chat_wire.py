"""OpenAI's chat completions as bytes: the request that goes out, and the answer, whole or in pieces."""

from __future__ import annotations

import time
from typing import Any

import orjson

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import (
    FINISH_REASONS,
    AnswerFormat,
    BadAnswer,
    BadRequest,
    FinishReason,
    GenerateRequest,
    GenerateResult,
    Partial,
    ProviderError,
    StreamEvent,
    TextDelta,
    Tool,
    ToolCallDelta,
    Usage,
    UseTool,
)
from apps.providers.engine.clients.connections import too_large
from apps.providers.engine.clients.errors import classify_in_answer, refusal_of
from apps.providers.engine.clients.usage import own_seconds, read_chat_usage
from apps.providers.engine.messages import Message, ToolCall, ToolRequest, Turn

#: More at once are no answer; looking a call up would take ever longer.
MOST_TOOL_CALLS = 128
#: What servers call them that do not use OpenAI's words.
_OTHER_REASONS = {"function_call": "tool_calls", "eos_token": "stop", "eos": "stop", "stop_sequence": "stop"}
#: What reading foreign JSON of another shape raises.
SHAPE_ERRORS = (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError, ValueError)


def request_body(request: GenerateRequest, completion_limit: str = "max_tokens") -> dict[str, object]:
    """The JSON body; optional parameters are left out when they are not set."""
    body: dict[str, object] = {
        "model": request.model,
        "messages": [_turn(turn) for turn in request.messages],
        completion_limit: request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = (
            {"type": "function", "function": {"name": request.tool_choice.name}}
            if isinstance(request.tool_choice, UseTool)
            else request.tool_choice
        )
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.answer_format is not None:
        body["response_format"] = _format(request.answer_format)
    if request.reasoning_effort:
        body["reasoning_effort"] = request.reasoning_effort
    return body


def encode(body: dict[str, object]) -> bytes:
    """The body's bytes; raises ``BadRequest`` for text that no JSON can carry."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        template = gettext_noop("The request holds half of a surrogate pair, or a value that is no JSON; correct it.")
        raise BadRequest(template, sent=False) from error


def _turn(turn: Turn) -> dict[str, object]:
    if isinstance(turn, Message):
        return {"role": turn.role, "content": turn.content}
    if isinstance(turn, ToolRequest):
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
        return {"role": "assistant", "content": turn.content or None, "tool_calls": calls}
    return {"role": "tool", "tool_call_id": turn.tool_call_id, "content": turn.content}


def _tool(tool: Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _format(wanted: AnswerFormat) -> dict[str, object]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}


def read_completion(body: bytes, *, latency_ms: float, request_id: str, secret: str = "") -> GenerateResult:
    """The result in a 200 answer; raises ``BadAnswer`` when it is not a complete chat completion.

    Some gateways answer 200 with an error inside: that raises what it says. It never repeats ``secret``, the key.
    """
    try:
        content = orjson.loads(body)
        if content.get("error") and not content.get("choices"):
            raise classify_in_answer(refusal_of(content["error"]), request_id=request_id, secret=secret)
        choice = content["choices"][0]
        message = choice["message"]
        calls = tuple(_call(call, index) for index, call in enumerate(message.get("tool_calls") or ()))
        text, finish_reason = _text_and_reason(message, choice["finish_reason"], calls)
        usage = content.get("usage")
        return GenerateResult(
            text=text,
            finish_reason=finish_reason,
            usage=read_chat_usage(usage),
            latency_ms=latency_ms,
            compute_seconds=own_seconds(usage, "compute_seconds"),
            queue_seconds=own_seconds(usage, "queue_seconds"),
            model_reported=_string(content.get("model")),
            request_id=request_id or _string(content.get("id")),
            tool_calls=calls,
        )
    except SHAPE_ERRORS as error:
        template = gettext_noop("The provider's answer is not a complete chat completion.")
        raise BadAnswer(template, status=200, request_id=request_id) from error


def _call(call: dict[str, Any], index: int) -> ToolCall:
    function = call["function"]
    return ToolCall(_call_id(call, index), _text(function["name"]), _text(function.get("arguments") or ""))


def _call_id(call: dict[str, Any], index: int) -> str:
    """The call's id. Some servers give none; its result then only has to name the same one again."""
    return _text(call.get("id") or f"call_{index}")


def _text_and_reason(message: dict[str, Any], reason: object, calls: tuple[ToolCall, ...]) -> tuple[str, FinishReason]:
    finish_reason = _finish_reason(reason)
    text = message.get("content")
    if text is None and isinstance(message.get("refusal"), str):
        return message["refusal"], "content_filter"
    if text is None and (calls or finish_reason != "stop"):
        # A model that spent its tokens on reasoning, was cut off by a filter, or only asks for tools says nothing.
        text = ""
    return _text(text), finish_reason


def _finish_reason(reason: object) -> FinishReason:
    reason = _OTHER_REASONS.get(reason, reason) if isinstance(reason, str) else reason
    for known in FINISH_REASONS:
        if reason == known:
            return known
    raise ValueError(f"unknown finish reason {reason!r}")


class StreamedChat:
    """A chat completion as its pieces add up. ``ended`` once the end mark came, ``complete`` once the answer is whole.

    ``secret`` is the key that was sent; no error repeats it.
    """

    def __init__(self, *, most_characters: int, secret: str) -> None:
        self.request_id = ""
        self.ended = False
        self.failure: ProviderError | None = None
        self._most_characters = most_characters
        self._secret = secret
        self._started = time.perf_counter()
        self._first: float | None = None
        self._texts: list[str] = []
        self._characters = 0
        self._calls: list[_CallPieces] = []
        self._reason: object = None
        self._refused = False
        self._usage: Usage | None = None
        self._compute_seconds: float | None = None
        self._queue_seconds: float | None = None
        self._first_queue_seconds: float | None = None
        self._model = ""

    @property
    def complete(self) -> bool:
        """Whether the provider has said why the answer ends; only its usage may still be missing."""
        return self._reason is not None

    def read(self, events: list[bytes]) -> list[StreamEvent]:
        """What these events bring. ``failure`` is set by one that is none, or that tells of a failure."""
        found: list[StreamEvent] = []
        try:
            for data in events:
                if data == b"[DONE]":
                    self.ended = True
                    break
                self._read(orjson.loads(data), found)
                if self._characters > self._most_characters:
                    raise too_large(self._most_characters, 200)
        except ProviderError as error:
            self.failure = error
        except SHAPE_ERRORS as error:
            template = gettext_noop("The provider's stream holds a piece that is no part of a chat completion.")
            self.failure = BadAnswer(template, status=200, request_id=self.request_id)
            self.failure.__cause__ = error
        if found and self._first is None:
            self._first = time.perf_counter()
        return found

    def partial(self) -> Partial | None:
        """What had arrived, for the error of a broken stream."""
        if self._first is None:
            return None
        calls = tuple(call.whole() for call in self._calls)
        return Partial(text="".join(self._texts), tool_calls=calls, usage=self._usage)

    def result(self) -> GenerateResult:
        """The whole answer; raises ``ValueError`` when the end was missing."""
        finish_reason = _finish_reason(self._reason)
        return GenerateResult(
            text="".join(self._texts),
            finish_reason="content_filter" if self._refused else finish_reason,
            usage=self._usage,
            latency_ms=(time.perf_counter() - self._started) * 1000,
            compute_seconds=self._compute_seconds,
            queue_seconds=self._queue_seconds,
            first_queue_seconds=self._first_queue_seconds,
            model_reported=self._model,
            request_id=self.request_id,
            tool_calls=tuple(call.whole() for call in self._calls),
            first_token_ms=None if self._first is None else (self._first - self._started) * 1000,
        )

    def _read(self, chunk: dict[str, Any], found: list[StreamEvent]) -> None:
        if chunk.get("error"):
            refusal = refusal_of(chunk["error"])
            raise classify_in_answer(refusal, request_id=self.request_id, secret=self._secret)
        usage = chunk.get("usage")
        if usage:
            self._usage = read_chat_usage(usage)
            self._compute_seconds = own_seconds(usage, "compute_seconds")
            self._queue_seconds = own_seconds(usage, "queue_seconds")
            self._first_queue_seconds = own_seconds(usage, "first_piece_queue_seconds")
        if not self._model:
            self._model = _string(chunk.get("model"))
            self.request_id = self.request_id or _string(chunk.get("id"))
        choices = chunk.get("choices")
        if not choices:
            return
        choice = choices[0]
        delta = choice.get("delta") or {}
        text = delta.get("content")
        if text is None and delta.get("refusal"):
            text, self._refused = delta["refusal"], True
        if text:
            self._texts.append(_text(text))
            self._characters += len(text)
            found.append(TextDelta(text))
        for piece in delta.get("tool_calls") or ():
            found.append(self._call_piece(piece))
        if choice.get("finish_reason") is not None:
            self._reason = _finish_reason(choice["finish_reason"])

    def _call_piece(self, piece: dict[str, Any]) -> ToolCallDelta:
        function = piece.get("function") or {}
        index = self._index_of(piece, function)
        arguments = _text(function.get("arguments") or "")
        self._characters += len(arguments)
        if index == len(self._calls):
            call = _CallPieces(_call_id(piece, index), _text(function["name"]))
            self._calls.append(call)
            call.arguments.append(arguments)
            return ToolCallDelta(index, call.id, call.name, arguments)
        self._calls[index].arguments.append(arguments)
        return ToolCallDelta(index, arguments=arguments)

    def _index_of(self, piece: dict[str, Any], function: dict[str, Any]) -> int:
        """Which call a piece belongs to: also where a server leaves the index out, or writes 0 for every call."""
        count = len(self._calls)
        index = piece.get("index")
        new = bool(function.get("name")) and (not count or piece.get("id") not in (None, "", self._calls[-1].id))
        if index is None or (new and index == 0):
            index = count if new or not count else count - 1
        if not isinstance(index, int) or not 0 <= index <= min(count, MOST_TOOL_CALLS - 1):
            raise ValueError("tool calls do not come one after the other")
        return index


class _CallPieces:
    """One tool call as it comes in."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, id: str, name: str) -> None:
        self.id, self.name = id, name
        self.arguments: list[str] = []

    def whole(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
