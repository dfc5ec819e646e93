"""Answers that were already paid for: process memory, then Redis where there is one, in front of a table.

A key covers everything that decides the answer, the repeat index included, so that repeats stay independent draws.
"""

import dataclasses
import hashlib
import json
import time
from collections import OrderedDict
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.cache import cache as shared_cache
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.engine.ledger_facts import Upsert
from apps.billing.ledger_runner import adapted
from apps.billing.models import CachedResponse
from apps.core import shared_store
from apps.core.models.base import new_uid
from apps.providers.engine.messages import ToolCall

MEMORY_ENTRIES = 2000
# Longer answers are read from the table again, so that the memory cannot hold more than a few dozen megabytes.
MEMORY_TEXT = 16_384
# A purge or the end of an answer's time reaches every process within this.
MEMORY_SECONDS = 30.0
# Longer answers are read from the table; the others are kept for so long after they were read there. A purge that finds
# Redis away is not heard of in it: what was purged may be given once more for that long.
SHARED_TEXT = 262_144
SHARED_SECONDS = 300
_KEPT_FIELDS = (
    "text",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cached_prompt_tokens",
    "reasoning_tokens",
    "compute_seconds",
    "original_latency_ms",
    "original_cost_nanousd",
    "model_reported",
    "request_id",
)
_KEPT = frozenset({*_KEPT_FIELDS, "tool_calls"})
_NOT_KEPT_EARLIER: dict[str, Any] = {"cached_prompt_tokens": 0, "reasoning_tokens": 0, "tool_calls": []}

# (team, key): when it was put here, and what is kept.
_memory: OrderedDict[tuple[int, str], tuple[float, dict[str, Any]]] = OrderedDict()
_lock = Lock()


def cache_key(call: MeteredCall) -> str:
    """SHA-256 over team, model and revision, messages, parameters and the repeat index."""
    content = {
        "team": call.team_id,
        "model": [call.language_model.served_name, call.language_model.revision],
        "request": call.request.identity(),
        "repeat": call.repeat,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def find(team_id: int, key: str) -> MeteredResult | None:
    """The stored answer, free of charge. Reads the table when no process has seen the answer lately."""
    started = time.perf_counter()
    found = find_in_memory(team_id, key)
    if found is not None:
        return found
    kept = _shared_or_stored(team_id, key) if shared_store.is_configured() else _stored(team_id, key)[0]
    if kept is None:
        return None
    _remember((team_id, key), kept)
    return _found(kept, started)


def find_in_memory(team_id: int, key: str) -> MeteredResult | None:
    """As `find`, of what this process has seen lately alone: an event loop need not wait for it."""
    started = time.perf_counter()
    kept = _remembered((team_id, key))
    return None if kept is None else _found(kept, started)


def _found(kept: dict[str, Any], started: float) -> MeteredResult:
    calls = tuple(ToolCall(**call) for call in kept["tool_calls"])
    return MeteredResult(
        **{**kept, "tool_calls": calls}, cached=True, latency_ms=(time.perf_counter() - started) * 1000
    )


def store(team_id: int, key: str, result: MeteredResult) -> None:
    """Keep an answer, inside the transaction that books it."""
    with connection.cursor() as cursor:
        sql, values = keeping(team_id, key, result).alone
        params: list[Any] = [adapted(value) for value in values]
        cursor.execute(sql, params)


def keeping(team_id: int, key: str, result: MeteredResult) -> Upsert:
    """What writes an answer into the table, in the place of an earlier one."""
    days, now = settings.RESPONSE_CACHE_DAYS, timezone.now()
    return Upsert(
        table="billing_cachedresponse",
        values={
            "uid": new_uid().hex,
            "created_at": now,
            "team_id": team_id,
            "key": key,
            "result": json.dumps(_kept(result)),
            "cost_nanousd": result.cost_nanousd,
            "language_model_id": result.language_model_id,
            "expires_at": now + timedelta(days=days) if days else None,
        },
        unique=("team_id", "key"),
        changed=("result", "cost_nanousd", "expires_at", "language_model_id"),
    )


def remember(team_id: int, key: str, result: MeteredResult) -> None:
    """Keep an answer in this process, after the transaction that booked it."""
    _remember((team_id, key), _kept(result))


def forget_memory(team_id: int | None = None) -> None:
    """Empty this process's memory, of one team or of all; the table stays."""
    with _lock:
        for place in [place for place in _memory if team_id in (None, place[0])]:
            del _memory[place]


def forget_team(team_id: int) -> None:
    """After a purge of the table: no answer of before is given by this process or from Redis."""
    if shared_store.is_configured():
        shared_cache.set(_age_name(team_id), new_uid().hex, timeout=None)
    forget_memory(team_id)


def _kept(result: MeteredResult) -> dict[str, Any]:
    kept = {name: getattr(result, name) for name in _KEPT_FIELDS}
    return {**kept, "tool_calls": [dataclasses.asdict(call) for call in result.tool_calls]}


def _remember(place: tuple[int, str], kept: dict[str, Any]) -> None:
    if len(kept["text"]) > MEMORY_TEXT or kept["tool_calls"]:
        return
    with _lock:
        _memory[place] = (time.monotonic(), kept)
        _memory.move_to_end(place)
        while len(_memory) > MEMORY_ENTRIES:
            _memory.popitem(last=False)


def _remembered(place: tuple[int, str]) -> dict[str, Any] | None:
    with _lock:
        since, kept = _memory.get(place, (0.0, None))
        if kept is None:
            return None
        if time.monotonic() - since > MEMORY_SECONDS:
            del _memory[place]
            return None
        _memory.move_to_end(place)
        return kept


def _shared_or_stored(team_id: int, key: str) -> dict[str, Any] | None:
    """What Redis has of the team's present age, else what the table has, which Redis then keeps.

    A purge begins a new age. Who read the table before it writes under the old age, which nobody reads any more.
    """
    age_name, name = _age_name(team_id), f"response:{{{team_id}}}:{key}"
    there = shared_cache.get_many([age_name, name])
    age, (kept_in, kept) = there.get(age_name), there.get(name, (None, None))
    if age is None:
        age = shared_cache.get_or_set(age_name, new_uid().hex, timeout=None)
    elif kept_in == age:
        return _complete(kept)
    kept, ends = _stored(team_id, key)
    if kept is not None and len(kept["text"]) <= SHARED_TEXT:
        left = SHARED_SECONDS if ends is None else min(SHARED_SECONDS, int((ends - timezone.now()).total_seconds()))
        # 0 deletes what is there: it ends within this second.
        shared_cache.set(name, [age, kept], timeout=max(left, 0))
    return kept


def _age_name(team_id: int) -> str:
    # In braces: a cluster of Redis keeps both of a team's keys in one place.
    return f"responses:{{{team_id}}}:age"


def _stored(team_id: int, key: str) -> tuple[dict[str, Any] | None, datetime | None]:
    """What the table has, and when its time is over."""
    alive = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    rows = CachedResponse.objects.filter(alive, team_id=team_id, key=key).values_list("result", "expires_at")
    found = rows.first()
    return (None, None) if found is None else (_complete(found[0]), found[1])


def _complete(kept: dict[str, Any]) -> dict[str, Any]:
    # What an earlier version kept lacks what came later; a later one may keep more.
    return {**_NOT_KEPT_EARLIER, **{name: kept[name] for name in kept if name in _KEPT}}
