"""OpenAI's own models through its SDK and Responses API. Only the factory imports it: the SDK takes a while to load."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

import openai

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import (
    AnswerFormat,
    BadAnswer,
    BadRequest,
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
from apps.providers.engine.clients.errors import Refusal, classify, classify_in_answer, refusal_of
from apps.providers.engine.clients.refusing import LEAST_MAX_TOKENS, check_parameters
from apps.providers.engine.clients.sdk_transport import (
    SHAPE_ERRORS,
    http_client,
    let_end,
    own_error,
    refusal_parts,
    unreadable,
)
from apps.providers.engine.clients.usage import checked_usage
from apps.providers.engine.gate import Gate
from apps.providers.engine.messages import Message, ToolCall, ToolRequest, Turn

_FAILURES: tuple[type[Exception], ...] = (openai.OpenAIError, *SHAPE_ERRORS)


class OpenAIResponsesClient:
    """One attempt per call; the SDK's retries are off. Nothing is stored at the provider."""

    def __init__(self, *, api_key: str, base_url: str, limits: Limits | None = None, gate: Gate | None = None) -> None:
        self._limits = limits or Limits()
        self._key = api_key
        self._sdk = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=None,
            http_client=http_client(Connections(self._limits, gate)),
        )

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """One attempt; raises a ``ProviderError``."""
        body = request_body(request)
        started = time.perf_counter()
        try:
            response = await self._sdk.responses.create(**body, timeout=None)
            return self._result(response, started)
        except _FAILURES as error:
            failure = self._failure(error)
        # Outside, because the SDK's exceptions hold the request with its key: they are not carried along.
        raise failure

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        """One attempt, in pieces; raises a ``ProviderError``."""
        body = request_body(request)
        answer = _Streamed()
        try:
            events = await self._sdk.responses.create(**body, stream=True, timeout=self._limits.silence_seconds)
            async with events:
                async for event in events:
                    piece = answer.read(event, self._key)
                    if piece is not None:
                        answer.first = answer.first or time.perf_counter()
                        yield piece
                    if answer.characters > self._limits.answer_bytes:
                        raise too_large(self._limits.answer_bytes, 200)
                    if answer.response is not None:
                        await let_end(events)
                        break
            if answer.response is None:
                template = gettext_noop("The provider's stream ended before its answer was complete.")
                raise BadAnswer(template, status=200)
            result = self._result(answer.response, answer.started, answer.first)
        except ProviderError as error:
            failure = error
        except _FAILURES as error:
            failure = self._failure(error)
        else:
            yield Finished(result)
            return
        failure.partial = answer.partial()
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.close()

    def _failure(self, error: Exception) -> ProviderError:
        own = own_error(error)
        if own is not None:
            return own
        if isinstance(error, openai.APIStatusError):
            status, headers, body = refusal_parts(error)
            return classify(status, headers, body, request_id=error.request_id or "", secret=self._key)
        if isinstance(error, openai.APIError) and error.body:
            return classify_in_answer(refusal_of(error.body), request_id="", secret=self._key)
        return unreadable(error)

    def _result(self, response: Any, started: float, first: float | None = None) -> GenerateResult:
        latency_ms = (time.perf_counter() - started) * 1000
        if response.status == "failed" or response.error is not None:
            error = response.error
            refusal = Refusal(code=str(error.code), text=str(error.message)) if error is not None else Refusal()
            raise classify_in_answer(refusal, request_id=str(response.id), secret=self._key)
        text, calls, refused = _read_output(response.output)
        return GenerateResult(
            text=text,
            finish_reason=_finish_reason(response, calls, refused),
            usage=_usage(response.usage),
            latency_ms=latency_ms,
            compute_seconds=None,
            model_reported=str(response.model),
            request_id=str(response.id),
            tool_calls=calls,
            first_token_ms=None if first is None else (first - started) * 1000,
        )


class _Streamed:
    """A response as its pieces add up; ``response`` is the whole one that the last event brings."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.first: float | None = None
        self.response: Any = None
        self.characters = 0
        self._texts: list[str] = []
        self._calls: dict[int, list[str]] = {}

    def read(self, event: Any, secret: str) -> StreamEvent | None:
        kind = event.type
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            return self._text(event.delta)
        if kind == "response.output_item.added" and event.item.type == "function_call":
            return self._new_call(event)
        if kind == "response.function_call_arguments.delta":
            return self._arguments(event)
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.response = event.response
        elif kind == "error":
            refusal = Refusal(code=str(event.code or ""), text=str(event.message or ""))
            raise classify_in_answer(refusal, request_id="", secret=secret)
        return None

    def partial(self) -> Partial | None:
        if self.first is None:
            return None
        calls = tuple(ToolCall(call_id, name, "".join(rest)) for call_id, name, *rest in self._calls.values())
        return Partial(text="".join(self._texts), tool_calls=calls)

    def _text(self, delta: str) -> StreamEvent | None:
        self.characters += len(delta)
        self._texts.append(delta)
        return TextDelta(delta) if delta else None

    def _new_call(self, event: Any) -> StreamEvent:
        item = event.item
        if len(self._calls) >= MOST_TOOL_CALLS:
            raise ValueError("too many tool calls")
        self._calls[event.output_index] = [item.call_id, item.name, item.arguments or ""]
        return ToolCallDelta(len(self._calls) - 1, item.call_id, item.name, item.arguments or "")

    def _arguments(self, event: Any) -> StreamEvent | None:
        self.characters += len(event.delta)
        self._calls[event.output_index].append(event.delta)
        index = list(self._calls).index(event.output_index)
        return ToolCallDelta(index, arguments=event.delta) if event.delta else None


def request_body(request: GenerateRequest) -> dict[str, Any]:
    """The parameters of ``responses.create``; raises ``BadRequest`` for what it has no place for."""
    check_parameters(request, "openai", api="responses")
    if request.max_tokens < LEAST_MAX_TOKENS:
        template = gettext_noop("OpenAI's Responses API takes no bound of the answer below %(least)s tokens.")
        raise BadRequest(template, sent=False, least=LEAST_MAX_TOKENS)
    body: dict[str, Any] = {
        "model": request.model,
        "input": [item for turn in request.messages for item in _items(turn)],
        "max_output_tokens": request.max_tokens,
        "store": False,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description or None,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
                "strict": bool(tool.strict),
            }
            for tool in request.tools
        ]
    if request.tool_choice is not None:
        choice = request.tool_choice
        body["tool_choice"] = {"type": "function", "name": choice.name} if isinstance(choice, UseTool) else choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.answer_format is not None:
        body["text"] = {"format": _format(request.answer_format)}
    if request.reasoning_effort:
        body["reasoning"] = {"effort": request.reasoning_effort}
    encode(body)  # raises for what the SDK could not send
    return body


def _items(turn: Turn) -> list[dict[str, Any]]:
    if isinstance(turn, Message):
        return [{"role": turn.role, "content": turn.content}]
    if isinstance(turn, ToolRequest):
        said = [{"role": "assistant", "content": turn.content}] if turn.content else []
        return said + [
            {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
            for call in turn.tool_calls
        ]
    return [{"type": "function_call_output", "call_id": turn.tool_call_id, "output": turn.content}]


def _format(wanted: AnswerFormat) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}


def _read_output(output: Any) -> tuple[str, tuple[ToolCall, ...], bool]:
    """Text, tool calls, and whether the model refused."""
    texts: list[str] = []
    calls: list[ToolCall] = []
    refused = False
    for item in output:
        if item.type == "function_call":
            calls.append(ToolCall(str(item.call_id), str(item.name), str(item.arguments)))
        elif item.type == "message":
            for part in item.content:
                refused = refused or part.type == "refusal"
                texts.append(part.refusal if part.type == "refusal" else part.text)
    return "".join(texts), tuple(calls), refused


def _finish_reason(response: Any, calls: tuple[ToolCall, ...], refused: bool) -> FinishReason:
    if response.status == "incomplete":
        reason = response.incomplete_details.reason
        if reason not in ("max_output_tokens", "content_filter"):
            raise ValueError(f"unknown reason {reason!r}")
        return "length" if reason == "max_output_tokens" else "content_filter"
    if response.status != "completed":
        raise ValueError(f"unknown status {response.status!r}")
    if refused:
        return "content_filter"
    return "tool_calls" if calls else "stop"


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    prompt, completion = usage.input_tokens_details, usage.output_tokens_details
    return checked_usage(
        prompt=usage.input_tokens,
        completion=usage.output_tokens,
        cached=getattr(prompt, "cached_tokens", 0),
        reasoning=getattr(completion, "reasoning_tokens", 0),
        cache_write=getattr(prompt, "cache_write_tokens", 0),
    )


#: What the factory makes, without importing this module by its name.
CLIENT = OpenAIResponsesClient
