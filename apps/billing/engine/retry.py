"""How long to wait before another attempt: exponential backoff with full jitter.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
"""

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0


def delay_seconds(attempt: int, rng: random.Random, retry_after: float | None = None) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1). A provider's `retry_after` is never undercut."""
    ceiling = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(attempt - 1, 10))
    jittered = rng.uniform(ceiling / 10, ceiling)
    return jittered if retry_after is None else max(retry_after, jittered)
