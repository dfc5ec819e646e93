"""What every way of calling a model has in common: the request, the result and the ways of failing.

A client makes exactly one attempt. Retries, rate limits, caching and money belong to the caller, who decides
from ``ProviderError.retryable`` whether another attempt makes sense and from ``ProviderError.sent`` whether the
attempt may have cost something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from apps.core.engine.messages import EngineError
from apps.providers.engine.messages import Message

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
FINISH_REASONS: tuple[FinishReason, ...] = ("stop", "length", "content_filter", "tool_calls")


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One generation. ``temperature`` 0 means greedy; ``max_tokens`` bounds the new tokens alone."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_p: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; cached and reasoning tokens are parts of the first two."""

    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """One answer.

    ``latency_ms`` is the wall time of the attempt as the caller saw it. ``compute_seconds`` is the share of the
    model's busy time that this answer took (the seconds of its batch divided among the sequences that ran in
    it), ``queue_seconds`` the part of the latency that it waited for its turn; both None where the provider does
    not report them.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    latency_ms: float
    compute_seconds: float | None
    model_reported: str
    request_id: str
    queue_seconds: float | None = None


class ProviderError(EngineError):
    """A failed attempt, as a sentence for the user. ``params`` are the template's values, ``status`` among them.

    ``code`` is stable and safe to store. ``sent`` is False only when the request provably never left this
    process, so that money held for it may be released. ``retryable`` says whether the same request can succeed
    later. ``status`` is the HTTP status, where there was one.
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
        **params: object,
    ) -> None:
        super().__init__(template, status=status, **params)
        self.message = str(self)
        self.sent = sent
        self.status = status
        self.request_id = request_id


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


class BadAnswer(ProviderError):
    """An answer came that is not a chat completion: not JSON, incomplete, or too large."""

    code = "bad_answer"
    retryable = True


class Client(Protocol):
    """One provider, one attempt per call."""

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """Return the answer or raise a ``ProviderError``."""
        ...

    async def aclose(self) -> None:
        """Give back connections and threads; the client is not used afterwards."""
        ...
