"""Answers that were already paid for: process memory in front of a table.

A key covers everything that decides the answer, the repeat index included, so that repeats stay independent draws.
"""

import hashlib
import json
import time
from collections import OrderedDict
from threading import Lock
from typing import Any

from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.models import CachedResponse

MEMORY_ENTRIES = 2000
# Longer answers are read from the table again, so that the memory cannot hold more than a few dozen megabytes.
MEMORY_TEXT = 16_384
_KEPT_FIELDS = (
    "text",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "compute_seconds",
    "original_latency_ms",
    "original_cost_nanousd",
    "model_reported",
    "request_id",
)

_memory: OrderedDict[tuple[int, str], dict[str, Any]] = OrderedDict()
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
    """The stored answer, free of charge. Reads the table only when this process has not seen the answer yet."""
    started = time.perf_counter()
    kept = _remembered((team_id, key)) or _stored(team_id, key)
    if kept is None:
        return None
    return MeteredResult(**kept, cached=True, latency_ms=(time.perf_counter() - started) * 1000)


def store(team_id: int, key: str, result: MeteredResult) -> None:
    """Keep an answer, inside the transaction that books it."""
    row = CachedResponse(team_id=team_id, key=key, result=_kept(result), cost_nanousd=result.cost_nanousd)
    CachedResponse.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["team", "key"],
        update_fields=["result", "cost_nanousd"],
    )


def remember(team_id: int, key: str, result: MeteredResult) -> None:
    """Keep an answer in this process, after the transaction that booked it."""
    if len(result.text) > MEMORY_TEXT:
        return
    with _lock:
        _memory[(team_id, key)] = _kept(result)
        _memory.move_to_end((team_id, key))
        while len(_memory) > MEMORY_ENTRIES:
            _memory.popitem(last=False)


def forget_memory() -> None:
    """Empty this process's memory; the table stays."""
    with _lock:
        _memory.clear()


def _kept(result: MeteredResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in _KEPT_FIELDS}


def _remembered(place: tuple[int, str]) -> dict[str, Any] | None:
    with _lock:
        if place not in _memory:
            return None
        _memory.move_to_end(place)
        return _memory[place]


def _stored(team_id: int, key: str) -> dict[str, Any] | None:
    row = CachedResponse.objects.filter(team_id=team_id, key=key).values_list("result", flat=True).first()
    return None if row is None else {name: row[name] for name in _KEPT_FIELDS}
