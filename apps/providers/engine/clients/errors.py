"""From a provider's refusal to the error that the caller acts on, for OpenAI's and Anthropic's shapes alike."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"})
CONTENT_CODES = frozenset(
    {"content_filter", "content_policy_violation", "invalid_prompt", "bio_policy", "misalignment_policy_violation"}
)
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
# Servers without a code of their own for it; all of these are refusals with HTTP 400 or 413.
_CONTEXT_WORDS = re.compile(r"maximum context length|prompt is too long|exceeds? (the )?(available )?context", re.I)
_QUOTA_WORDS = re.compile(r"credit balance is too low", re.I)
# What the codes of an error inside a stream would have been as a status.
_STATUS_OF_CODE = {
    "authentication_error": 401,
    "billing_error": 402,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "timeout_error": 504,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error says: its stable code and the provider's sentence, both empty where there are none."""

    code: str = ""
    text: str = ""
    status: int | None = None


def classify(
    status: int, headers: Mapping[str, str], body: bytes, *, request_id: str, secret: str = ""
) -> ProviderError:
    """The error for an answer whose status is not 200. The request was sent in every one of these cases.

    ``secret`` is the key that was sent; a server that repeats it is not quoted with it.
    """
    if 300 <= status < 400 or status < 200:
        template = gettext_noop(
            "The provider answers with a redirect (HTTP %(status)s), which is not followed. Check the base URL."
        )
        return BadAnswer(template, status=status, request_id=request_id)
    if status < 300:
        template = gettext_noop("The provider's answer is no chat completion (HTTP %(status)s). Check the base URL.")
        return BadAnswer(template, status=status, request_id=request_id)
    refusal = read_refusal(body)
    said = _said(refusal.text, secret)
    kind, template = _kind(status, refusal)
    more: dict[str, Any] = {"retry_after": _retry_after(headers)} if issubclass(kind, RateLimited) else {}
    return kind(template, said=said, status=status, request_id=request_id, **more)


def classify_in_answer(refusal: Refusal, *, request_id: str, secret: str = "") -> ProviderError:
    """The error for a refusal inside an answer that had begun with HTTP 200, so that it may have cost something."""
    kind, template = _kind(refusal.status or _STATUS_OF_CODE.get(refusal.code, 500), refusal)
    if kind not in (ContextTooLong, ContentFilter, Auth):
        template = gettext_noop("The provider broke the answer off.%(said)s")
    return kind(template, said=_said(refusal.text, secret), status=200, request_id=request_id)


def read_refusal(body: bytes) -> Refusal:
    """The refusal in the body of an error answer."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Refusal()
    return refusal_of(content.get("error", content)) if isinstance(content, dict) else Refusal()


def refusal_of(error: object) -> Refusal:
    """The refusal in an error object, whichever server wrote it."""
    if isinstance(error, str):
        return Refusal(text=error)
    if not isinstance(error, dict):
        return Refusal()
    code, kind = error.get("code"), error.get("type")
    text = error.get("message") or error.get("detail")
    return Refusal(
        code=code if isinstance(code, str) else kind if isinstance(kind, str) else "",
        text=text if isinstance(text, str) else "",
        status=code if isinstance(code, int) and 400 <= code < 600 else None,
    )


def _kind(status: int, refusal: Refusal) -> tuple[type[ProviderError], str]:
    code, text = refusal.code, refusal.text
    if code in QUOTA_CODES or status == 402 or _QUOTA_WORDS.search(text):
        return Auth, gettext_noop("The provider's account has no quota left.%(said)s")
    if code in CONTENT_CODES:
        return ContentFilter, gettext_noop("The provider's content rules refuse this request.%(said)s")
    if status == 429:
        return RateLimited, gettext_noop("The provider asks for fewer requests (HTTP 429).%(said)s")
    if status in (504, 524):
        return Timeout, gettext_noop("The provider did not answer in time (HTTP %(status)s).%(said)s")
    if status >= 500:
        return Overloaded, gettext_noop("The provider is overloaded or failing (HTTP %(status)s).%(said)s")
    if status in (401, 403):
        return Auth, gettext_noop("The provider refuses the key (HTTP %(status)s).%(said)s")
    if status == 408:
        return Timeout, gettext_noop("The provider gave up waiting (HTTP 408).%(said)s")
    if code in CONTEXT_CODES or (status in (400, 413) and _CONTEXT_WORDS.search(text)):
        return ContextTooLong, gettext_noop("Prompt and answer do not fit the model's context.%(said)s")
    return BadRequest, gettext_noop("The provider refuses the request (HTTP %(status)s).%(said)s")


def _said(text: str, secret: str) -> Sentence | str:
    text = " ".join(text.split())
    if secret:
        text = text.replace(secret, "[key]")
    if not text:
        return ""
    quoted = text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + "…"
    return Sentence(gettext_noop(" It says: %(quoted)s"), quoted=quoted)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or an HTTP date), at most an hour."""
    seconds = _float(headers.get("retry-after-ms"), scale=0.001)
    value = headers.get("retry-after")
    if seconds is None:
        seconds = _float(value, scale=1.0)
    if seconds is None and value:
        seconds = _seconds_until(value)
    return None if seconds is None else min(MAX_RETRY_AFTER_SECONDS, max(0.0, seconds))


def _seconds_until(date: str) -> float | None:
    parsed = email.utils.parsedate_tz(date)
    try:
        return None if parsed is None else email.utils.mktime_tz(parsed) - time.time()
    except (ValueError, OverflowError):
        return None


def _float(value: str | None, *, scale: float) -> float | None:
    try:
        number = float(value) if value else math.nan
    except ValueError:
        return None
    return number * scale if math.isfinite(number) else None
