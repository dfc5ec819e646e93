"""Anthropic's models through its SDK and Messages API. Only the factory imports it: the SDK takes a while to load."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
import orjson

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import (
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    Finished,
    FinishReason,
    GenerateRequest,
    GenerateResult,
    Partial,
    ProviderError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
    UseTool,
)
from apps.providers.engine.clients.chat_wire import MOST_TOOL_CALLS, encode
from apps.providers.engine.clients.connections import Connections, Limits, too_large
from apps.providers.engine.clients.errors import classify, classify_in_answer, refusal_of
from apps.providers.engine.clients.refusing import check_parameters, refuse
from apps.providers.engine.clients.sdk_transport import (
    SHAPE_ERRORS,
    http_client,
    let_end,
    own_error,
    refusal_parts,
    unreadable,
)
from apps.providers.engine.clients.usage import checked_usage, count
from apps.providers.engine.gate import Gate
from apps.providers.engine.messages import Message, ToolCall, ToolRequest, ToolResult, Turn

_FAILURES: tuple[type[Exception], ...] = (anthropic.AnthropicError, *SHAPE_ERRORS)
EFFORTS = ("low", "medium", "high", "xhigh", "max")
_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicMessagesClient:
    """One attempt per call; the SDK's retries are off."""

    def __init__(self, *, api_key: str, base_url: str, limits: Limits | None = None, gate: Gate | None = None) -> None:
        self._limits = limits or Limits()
        self._key = api_key
        self._sdk = anthropic.AsyncAnthropic(
            api_key=api_key,
            # Where the API lies is written with its version by some and without by others.
            base_url=base_url.removesuffix("/").removesuffix("/v1"),
            max_retries=0,
            timeout=None,
            open_telemetry=False,
            http_client=http_client(Connections(self._limits, gate)),
        )

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """One attempt; raises a ``ProviderError``."""
        body = request_body(request)
        answer = _Streamed()
        failure: ProviderError
        try:
            answer.whole(await self._sdk.messages.create(**body, timeout=None))
            return answer.result()
        except _FAILURES as error:
            failure = self._failure(error)
        # Outside, because the SDK's exceptions hold the request with its key: they are not carried along.
        raise failure

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        """One attempt, in pieces; raises a ``ProviderError``."""
        body = request_body(request)
        answer = _Streamed()
        failure: ProviderError | None = None
        try:
            events = await self._sdk.messages.create(**body, stream=True, timeout=self._limits.silence_seconds)
            async with events:
                async for event in events:
                    piece = answer.read(event)
                    if piece is not None:
                        answer.first = answer.first or time.perf_counter()
                        yield piece
                    if answer.characters > self._limits.answer_bytes:
                        raise too_large(self._limits.answer_bytes, 200)
                    if answer.ended:
                        await let_end(events)
                        break
            if not answer.complete:
                template = gettext_noop("The provider's stream ended before its answer was complete.")
                raise BadAnswer(template, status=200, request_id=answer.request_id)
        except ConnectionFailed as error:
            # After the stop reason comes nothing but the end mark.
            failure = None if answer.complete else error
        except ProviderError as error:
            failure = error
        except _FAILURES as error:
            failure = self._failure(error)
        if failure is not None:
            failure.partial = answer.partial()
            raise failure
        yield Finished(answer.result())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.close()

    def _failure(self, error: Exception) -> ProviderError:
        own = own_error(error)
        if own is not None:
            return own
        if not isinstance(error, anthropic.APIStatusError):
            return unreadable(error)
        status, headers, body = refusal_parts(error)
        request_id = error.request_id or ""
        if status == 200:
            # An error event inside a stream.
            told = error.body if isinstance(error.body, dict) else {}
            return classify_in_answer(refusal_of(told.get("error")), request_id=request_id, secret=self._key)
        return classify(status, headers, body, request_id=request_id, secret=self._key)


class _Streamed:
    """A message as its pieces add up; a whole one is read as a single piece."""

    def __init__(self) -> None:
        self.request_id = ""
        self.ended = False
        self.characters = 0
        self.started = time.perf_counter()
        self.first: float | None = None
        self._model = ""
        self._reason: FinishReason | None = None
        self._texts: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._usage: Usage | None = None

    @property
    def complete(self) -> bool:
        """Whether the provider has said why the answer ends, which it does with the last counts."""
        return self._reason is not None

    def whole(self, message: Any) -> None:
        """Read a message that did not come as a stream."""
        self._begin(message)
        self._reason = _FINISH_REASONS[message.stop_reason]
        for index, block in enumerate(message.content):
            if block.type == "text":
                self._texts.append(block.text)
            elif block.type == "tool_use":
                self._calls[index] = [block.id, block.name, orjson.dumps(block.input).decode()]

    def read(self, event: Any) -> StreamEvent | None:
        """What an event brings for the reader."""
        kind = event.type
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "message_start":
            self._begin(event.message)
        elif kind == "content_block_start" and event.content_block.type == "tool_use":
            block = event.content_block
            if len(self._calls) >= MOST_TOOL_CALLS:
                raise ValueError("too many tool calls")
            self._calls[event.index] = [block.id, block.name]
            return ToolCallDelta(len(self._calls) - 1, block.id, block.name)
        elif kind == "content_block_start" and event.content_block.type == "text":
            return self._text(event.content_block.text)
        elif kind == "message_delta":
            if event.delta.stop_reason is not None:
                self._reason = _FINISH_REASONS[event.delta.stop_reason]
            self._count(event.usage)
        elif kind == "message_stop":
            self.ended = True
        return None

    def partial(self) -> Partial | None:
        """What had arrived, for the error of a broken stream. The tokens of the answer are counted at its end only."""
        if self.first is None:
            return None
        return Partial(text="".join(self._texts), tool_calls=self._tool_calls())

    def result(self) -> GenerateResult:
        """The answer; raises ``ValueError`` when its end is missing."""
        if self._reason is None:
            raise ValueError("no stop reason")
        return GenerateResult(
            text="".join(self._texts),
            finish_reason=self._reason,
            usage=self._usage,
            latency_ms=(time.perf_counter() - self.started) * 1000,
            compute_seconds=None,
            model_reported=self._model,
            request_id=self.request_id,
            tool_calls=self._tool_calls(),
            first_token_ms=None if self.first is None else (self.first - self.started) * 1000,
        )

    def _begin(self, message: Any) -> None:
        self.request_id, self._model = str(message.id), str(message.model)
        self._count(message.usage)

    def _count(self, usage: Any) -> None:
        """Counts are cumulative: the last one of each kind holds."""
        if usage is None:
            return
        details = getattr(usage, "output_tokens_details", None)
        for name, value in (
            ("input", getattr(usage, "input_tokens", None)),
            ("output", usage.output_tokens),
            ("read", getattr(usage, "cache_read_input_tokens", None)),
            ("written", getattr(usage, "cache_creation_input_tokens", None)),
            ("thinking", getattr(details, "thinking_tokens", None)),
        ):
            if value is not None:
                self._counts[name] = count(value)
        if "input" not in self._counts:
            return
        read, written = self._counts.get("read", 0), self._counts.get("written", 0)
        self._usage = checked_usage(
            prompt=self._counts["input"] + read + written,
            completion=self._counts["output"],
            cached=read,
            reasoning=self._counts.get("thinking", 0),
            cache_write=written,
        )

    def _delta(self, event: Any) -> StreamEvent | None:
        delta = event.delta
        if delta.type == "text_delta":
            return self._text(delta.text)
        if delta.type != "input_json_delta" or not delta.partial_json:
            return None
        self.characters += len(delta.partial_json)
        self._calls[event.index].append(delta.partial_json)
        return ToolCallDelta(list(self._calls).index(event.index), arguments=delta.partial_json)

    def _text(self, text: str) -> StreamEvent | None:
        self.characters += len(text)
        self._texts.append(text)
        return TextDelta(text) if text else None

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(call_id, name, "".join(rest)) for call_id, name, *rest in self._calls.values())


def request_body(request: GenerateRequest) -> dict[str, Any]:
    """The parameters of ``messages.create``; raises ``BadRequest`` for what it has no place for."""
    check_parameters(request, "anthropic")
    system, turns = _split_system(request.messages)
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": _messages(turns),
    }
    if system:
        body["system"] = system
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.tools:
        body["tools"] = [
            {
                "name": tool.name,
                "input_schema": tool.parameters or {"type": "object", "properties": {}},
                **({"description": tool.description} if tool.description else {}),
                **({"strict": True} if tool.strict else {}),
            }
            for tool in request.tools
        ]
        choice = _tool_choice(request)
        if choice:
            body["tool_choice"] = choice
    output = _output_config(request)
    if output:
        body["output_config"] = output
    encode(body)  # raises for what the SDK could not send
    return body


def _split_system(messages: tuple[Turn, ...]) -> tuple[str, list[Turn]]:
    """The system messages at the beginning, as the one text that the API takes, and the turns that follow."""
    turns = list(messages)
    system: list[str] = []
    while turns and isinstance(turns[0], Message) and turns[0].role == "system":
        system.append(turns.pop(0).content)
    return "\n\n".join(system), turns


def _messages(turns: list[Turn]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if isinstance(turn, Message):
            messages.append({"role": turn.role, "content": turn.content})
        elif isinstance(turn, ToolRequest):
            said = [{"type": "text", "text": turn.content}] if turn.content else []
            messages.append({"role": "assistant", "content": said + [_tool_use(call) for call in turn.tool_calls]})
        elif messages and _holds_results(messages[-1]):
            # The results of tools that were asked for at once belong into one turn.
            messages[-1]["content"].append(_tool_result(turn))
        else:
            messages.append({"role": "user", "content": [_tool_result(turn)]})
    return messages


def _tool_use(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        template = gettext_noop(
            "The arguments of tool call “%(id)s” are no JSON object; Anthropic's API takes no other."
        )
        raise BadRequest(template, sent=False, id=call.id)
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _tool_result(turn: ToolResult) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": turn.tool_call_id, "content": turn.content}


def _holds_results(message: dict[str, Any]) -> bool:
    content = message["content"]
    return isinstance(content, list) and content[-1]["type"] == "tool_result"


def _tool_choice(request: GenerateRequest) -> dict[str, Any]:
    choice = request.tool_choice
    if choice is None and request.parallel_tool_calls is None:
        return {}
    wanted: dict[str, Any] = (
        {"type": "tool", "name": choice.name}
        if isinstance(choice, UseTool)
        else {"type": {"required": "any", "none": "none"}.get(choice or "auto", "auto")}
    )
    if request.parallel_tool_calls is False and wanted["type"] != "none":
        wanted["disable_parallel_tool_use"] = True
    return wanted


def _output_config(request: GenerateRequest) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.reasoning_effort:
        if request.reasoning_effort not in EFFORTS:
            raise refuse("reasoning_effort", request)
        config["effort"] = request.reasoning_effort
    wanted = request.answer_format
    if wanted is not None:
        if wanted.schema is None:
            template = gettext_noop("Anthropic's API takes an answer format only with a JSON schema; give one.")
            raise BadRequest(template, sent=False)
        config["format"] = {"type": "json_schema", "schema": wanted.schema}
    return config


#: What the factory makes, without importing this module by its name.
CLIENT = AnthropicMessagesClient
