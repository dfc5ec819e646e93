"""How long a run still takes, as a range, from what its last steps took."""

from __future__ import annotations

import statistics
from collections import deque

from apps.training.engine.estimate import TAIL_SECONDS, TAIL_SECONDS_PER_MILLION

_REMEMBER = 40
_FORWARD_SHARE = 0.4


class Pace:
    """Seconds per token of recent steps, and of the pauses (validation, samples) between them."""

    def __init__(self, *, tokens_per_second: float, parameters: int) -> None:
        self._rates: deque[float] = deque([1 / max(tokens_per_second, 1e-9)], maxlen=_REMEMBER)
        self._tail = TAIL_SECONDS + TAIL_SECONDS_PER_MILLION * parameters / 1e6
        self._pauses: dict[str, float] = {}

    def step(self, tokens: int, seconds: float) -> None:
        self._rates.append(seconds / tokens)

    def pause(self, name: str, seconds: float) -> None:
        self._pauses[name] = seconds

    def left(self, *, tokens: int, validation_tokens: int, every: dict[str, float]) -> tuple[float, float]:
        """(low, high) seconds until exit. ``every``: seconds between two pauses of a kind while training goes on."""
        rates = sorted(self._rates)
        low, high = rates[len(rates) // 4], rates[(3 * len(rates)) // 4]
        middle = statistics.median(rates)
        pauses = sum(self._pauses.get(name, 0.0) * (1 + tokens * middle / interval) for name, interval in every.items())
        rest = pauses + self._tail + validation_tokens * middle * _FORWARD_SHARE
        return round(0.95 * (tokens * low + rest), 1), round(1.1 * (tokens * high + rest) + 2, 1)
