"""What every way of calling a model has in common: the request, the result and the ways of failing.

A client makes exactly one attempt. Retries, rate limits, caching and money belong to the caller, who decides
from ``ProviderError.retryable`` whether another attempt makes sense and from ``ProviderError.sent`` whether the
attempt may have cost something.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson

from apps.core.engine.messages import EngineError
from apps.providers.engine.messages import Message, ToolCall, Turn

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
FINISH_REASONS: tuple[FinishReason, ...] = ("stop", "length", "content_filter", "tool_calls")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; ``parameters`` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class UseTool:
    """The tool that the model has to call."""

    name: str


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The form that the answer must have: one JSON object, or one that follows ``schema`` where there is one."""

    schema: dict[str, Any] | None = None
    name: str = "answer"
    strict: bool = True


ToolChoice = Literal["auto", "none", "required"] | UseTool
#: Fields that came after the first answers were cached. At their default they are no part of a request's identity.
_LATER_FIELDS = ("tools", "tool_choice", "parallel_tool_calls", "answer_format", "reasoning_effort")


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One generation. ``temperature`` 0 means greedy; ``max_tokens`` bounds the new tokens alone.

    None leaves a parameter to the provider's own default. What a provider or a model is known to refuse raises
    ``BadRequest`` before anything is sent: no parameter is dropped in silence.
    """

    model: str
    messages: tuple[Turn, ...]
    max_tokens: int
    temperature: float | None = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_p: float | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    answer_format: AnswerFormat | None = None
    reasoning_effort: str = ""

    def identity(self) -> dict[str, Any]:
        """Everything that decides the answer, as values for JSON. Equal requests have equal identities."""
        content: dict[str, Any] = {"messages": [_turn_values(turn) for turn in self.messages]}
        for name in _PARAMETERS:
            value = getattr(self, name)
            if name not in _LATER_FIELDS or value not in ((), None, ""):
                content[name] = _values(value)
        return content

    def prompt_bytes(self) -> int:
        """Bytes of everything that a provider counts as prompt, tools and answer format included.

        No tokenizer makes more tokens than bytes; the few that a chat template adds are not in it.
        """
        size = 0
        for turn in self.messages:
            size += len(turn.content.encode())
            if not isinstance(turn, Message):
                size += len(orjson.dumps(turn))
        if self.tools or self.answer_format:
            size += len(orjson.dumps([self.tools, self.answer_format]))
        return size


_PARAMETERS = tuple(field.name for field in dataclasses.fields(GenerateRequest) if field.name != "messages")


def _turn_values(turn: Turn) -> dict[str, Any]:
    # By hand for what nearly every turn is: `asdict` takes as long as the rest of a gateway's own work on a request.
    if isinstance(turn, Message):
        return {"role": turn.role, "content": turn.content}
    return {"role": turn.role, **dataclasses.asdict(turn)}


def _values(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_values(item) for item in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them.

    Cached tokens (read from the provider's cache, and written to it) are parts of the prompt's, reasoning tokens of
    the completion's.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """One answer.

    ``usage`` is None where the provider sent none: what the answer cost is then unknown, and never zero.
    ``latency_ms`` is the wall time of the attempt as the caller saw it, ``first_token_ms`` that of the first piece of
    a streamed answer. ``compute_seconds`` is the share of the model's busy time that this answer took (the seconds of
    its batch divided among the sequences that ran in it), ``queue_seconds`` the part of the latency that it waited
    for its turn, ``first_queue_seconds`` the part of ``first_token_ms``; all None where the provider does not report
    them.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage | None
    latency_ms: float
    compute_seconds: float | None
    model_reported: str
    request_id: str
    queue_seconds: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    first_token_ms: float | None = None
    first_queue_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of tool call number ``index`` (from 0). Its first piece alone has ``id`` and ``name``."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a stream: the whole answer. A stream without this event has failed."""

    result: GenerateResult


StreamEvent = TextDelta | ToolCallDelta | Finished


@dataclass(frozen=True, slots=True)
class Partial:
    """What had arrived when a stream broke. ``usage`` is the provider's last count, which may cover only a part."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None


class ProviderError(EngineError):
    """A failed attempt, as a sentence for the user. ``params`` are the template's values, ``status`` among them.

    ``code`` is stable and safe to store. ``sent`` is False only when the request provably never left this
    process, so that money held for it may be released. ``retryable`` says whether the same request can succeed
    later. ``status`` is the HTTP status, where there was one. ``partial`` is what a stream had brought when it broke,
    None when no event had been handed on: only then can the caller repeat the attempt unnoticed.
    """

    code = "provider_error"
    retryable = False

    def __init__(
        self,
        template: str,
        /,
        *,
        sent: bool = True,
        status: int | None = None,
        request_id: str = "",
        partial: Partial | None = None,
        **params: object,
    ) -> None:
        super().__init__(template, status=status, **params)
        self.message = str(self)
        self.sent = sent
        self.status = status
        self.request_id = request_id
        self.partial = partial


class RateLimited(ProviderError):
    """The provider asks for fewer requests. ``retry_after`` is in seconds, None when it gave no time."""

    code = "rate_limited"
    retryable = True

    def __init__(self, template: str, /, *, retry_after: float | None = None, **more: Any) -> None:
        super().__init__(template, **more)
        self.retry_after = retry_after


class Overloaded(RateLimited):
    """The provider failed on its side or is too busy; a later attempt may succeed."""

    code = "overloaded"


class Timeout(ProviderError):
    """No complete answer in time; the provider may have done the work."""

    code = "timeout"
    retryable = True


class Auth(ProviderError):
    """The key is missing, wrong, or not allowed to use this model."""

    code = "auth"


class BadRequest(ProviderError):
    """The provider refused the request as it stands."""

    code = "bad_request"


class ContentFilter(ProviderError):
    """The provider's content rules refused the request or the answer."""

    code = "content_filter"


class ContextTooLong(ProviderError):
    """Prompt and answer do not fit the model's context."""

    code = "context_too_long"


class ConnectionFailed(ProviderError):
    """No connection, or it broke before an answer came."""

    code = "connection_failed"
    retryable = True


class AddressRefused(ProviderError):
    """The server's address is one that users may not have requests sent to; nothing was sent."""

    code = "address_refused"


class BadAnswer(ProviderError):
    """An answer came that is not a chat completion: not JSON, incomplete, or too large."""

    code = "bad_answer"
    retryable = True


class Client(Protocol):
    """One provider, one attempt per call."""

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """Return the answer or raise a ``ProviderError``."""
        ...

    def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        """Yield the answer's pieces as they come and end with ``Finished``, or raise a ``ProviderError``.

        The request is sent with the first step. Closing the generator before its end drops the connection; a caller
        that wants the usage of an answer nobody reads has to go on reading.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections and threads; the client is not used afterwards."""
        ...
