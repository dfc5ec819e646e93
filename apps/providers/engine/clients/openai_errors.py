"""From an OpenAI-style error answer to the error that the caller acts on."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping

import orjson

from apps.core.engine.messages import Sentence, gettext_noop
from apps.providers.engine.clients.base import (
    Auth,
    BadAnswer,
    BadRequest,
    ContentFilter,
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    Timeout,
)

#: A provider's own sentence is shown shortened: it is foreign text.
MAX_QUOTED = 300
MAX_RETRY_AFTER_SECONDS = 3600.0
CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
CONTENT_CODES = frozenset({"content_filter", "content_policy_violation"})
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


def classify(status: int, headers: Mapping[str, str], body: bytes, *, request_id: str) -> ProviderError:
    """The error for an answer whose status is not 200. The request was sent in every one of these cases."""
    code, quoted = _read(body)
    said = Sentence(gettext_noop(" It says: %(quoted)s"), quoted=quoted) if quoted else ""
    if 300 <= status < 400:
        return BadAnswer(
            gettext_noop(
                "The provider answers with a redirect (HTTP %(status)s), which is not followed. Check the base URL."
            ),
            status=status,
            request_id=request_id,
        )
    if status == 429 or status >= 500:
        return _busy(status, code, said, _retry_after(headers), request_id)
    kind: type[ProviderError] = BadRequest
    template = gettext_noop("The provider refuses the request (HTTP %(status)s).%(said)s")
    if status in (401, 403):
        kind, template = Auth, gettext_noop("The provider refuses the key (HTTP %(status)s).%(said)s")
    elif status == 408:
        kind, template = Timeout, gettext_noop("The provider gave up waiting (HTTP 408).%(said)s")
    elif code in CONTEXT_CODES:
        kind, template = ContextTooLong, gettext_noop("Prompt and answer do not fit the model's context.%(said)s")
    elif code in CONTENT_CODES:
        kind, template = ContentFilter, gettext_noop("The provider's content rules refuse this request.%(said)s")
    return kind(template, said=said, status=status, request_id=request_id)


def _busy(status: int, code: str, said: Sentence | str, retry_after: float | None, request_id: str) -> ProviderError:
    if code in QUOTA_CODES:
        template = gettext_noop("The provider's account has no quota left.%(said)s")
        return Auth(template, said=said, status=status, request_id=request_id)
    if status in (504, 524):
        template = gettext_noop("The provider did not answer in time (HTTP %(status)s).%(said)s")
        return Timeout(template, said=said, status=status, request_id=request_id)
    if status == 429:
        template = gettext_noop("The provider asks for fewer requests (HTTP 429).%(said)s")
        return RateLimited(template, said=said, retry_after=retry_after, status=status, request_id=request_id)
    template = gettext_noop("The provider is overloaded or failing (HTTP %(status)s).%(said)s")
    return Overloaded(template, said=said, retry_after=retry_after, status=status, request_id=request_id)


def _read(body: bytes) -> tuple[str, str]:
    """The stable code and the provider's sentence of an error body; empty strings where there are none."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", ""
    error = content.get("error") if isinstance(content, dict) else None
    if isinstance(error, str):
        return "", _quote(error)
    if not isinstance(error, dict):
        return "", ""
    code, message = error.get("code"), error.get("message")
    return (code if isinstance(code, str) else ""), (_quote(message) if isinstance(message, str) else "")


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + "…"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or an HTTP date), at most an hour."""
    seconds = _float(headers.get("retry-after-ms"), scale=0.001)
    value = headers.get("retry-after")
    if seconds is None:
        seconds = _float(value, scale=1.0)
    if seconds is None and value:
        parsed = email.utils.parsedate_tz(value)
        seconds = None if parsed is None else email.utils.mktime_tz(parsed) - time.time()
    return None if seconds is None else min(MAX_RETRY_AFTER_SECONDS, max(0.0, seconds))


def _float(value: str | None, *, scale: float) -> float | None:
    try:
        number = float(value) if value else math.nan
    except ValueError:
        return None
    return number * scale if math.isfinite(number) else None
