"""Reading what a provider says about its own answer: tokens, and what the answer took of a local machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.providers.engine.clients.base import Usage


def read_chat_usage(usage: object) -> Usage | None:
    """The ``usage`` of a chat completion; None where there is none. Raises ``ValueError`` for what is no count."""
    if not usage:
        return None
    if not isinstance(usage, dict):
        raise ValueError("usage is no object")
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    return checked_usage(
        prompt=usage.get("prompt_tokens"),
        completion=usage.get("completion_tokens"),
        cached=prompt_details.get("cached_tokens"),
        reasoning=completion_details.get("reasoning_tokens"),
        cache_write=prompt_details.get("cache_write_tokens"),
    )


def checked_usage(
    *, prompt: object, completion: object, cached: object = 0, reasoning: object = 0, cache_write: object = 0
) -> Usage:
    """Usage from counts that a provider sent. Parts that are null are 0; a part is never larger than its whole."""
    whole_prompt, whole_completion = count(prompt), count(completion)
    return Usage(
        prompt_tokens=whole_prompt,
        completion_tokens=whole_completion,
        cached_prompt_tokens=min(count(cached or 0), whole_prompt),
        reasoning_tokens=min(count(reasoning or 0), whole_completion),
        cache_write_prompt_tokens=min(count(cache_write or 0), whole_prompt),
    )


def count(value: object) -> int:
    """A number of tokens; raises ``ValueError`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
        raise ValueError(f"{value!r} is not a number of tokens")
    return value


def own_seconds(usage: object, name: str) -> float | None:
    """A duration from our own extension of ``usage``; other providers do not send it."""
    own = usage.get("llmopt") if isinstance(usage, Mapping) else None
    seconds: Any = own.get(name) if isinstance(own, Mapping) else None
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ValueError(f"{name} is not a duration")
    return float(seconds)
