"""Money is an integer of nano-dollars (10⁻⁹ USD), always rounded up, computed without floating-point error."""

import math
from fractions import Fraction

SECONDS_PER_HOUR = 3600

# Bounds for a small model on a machine whose few cores are busy with other work: a call that shared two cores with a
# training took 0.7 s a token. Too low a bound lets a call spend more than was held for it.
START_SECONDS = 5.0
SECONDS_PER_PROMPT_BYTE = 0.02
SECONDS_PER_NEW_TOKEN = 1.0


def compute_cost_nanousd(seconds: float, nanousd_per_hour: int) -> int:
    """What `seconds` of computing cost, rounded up. ValueError if either is negative or not finite."""
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds of computing must be a finite number of at least 0, not {seconds}")
    if nanousd_per_hour < 0:
        raise ValueError(f"a price per hour must be at least 0, not {nanousd_per_hour}")
    return math.ceil(Fraction(seconds) * nanousd_per_hour / SECONDS_PER_HOUR)


def local_call_bound_seconds(*, prompt_bytes: int, max_tokens: int, timeout_seconds: float) -> float:
    """The most seconds of computing that one local call is held for.

    A tokenizer makes at most one token of each byte, and at most `max_tokens` are generated, so time grows with both.
    A call's share of its batch cannot exceed the wall time after which it is given up, so `timeout_seconds` caps it.
    """
    tokens = START_SECONDS + SECONDS_PER_PROMPT_BYTE * prompt_bytes + SECONDS_PER_NEW_TOKEN * max_tokens
    return min(tokens, timeout_seconds)


def local_call_bound_nanousd(
    *, prompt_bytes: int, max_tokens: int, timeout_seconds: float, nanousd_per_hour: int
) -> int:
    """The most that one local call is held for: `local_call_bound_seconds` at the price of an hour."""
    seconds = local_call_bound_seconds(
        prompt_bytes=prompt_bytes, max_tokens=max_tokens, timeout_seconds=timeout_seconds
    )
    return compute_cost_nanousd(seconds, nanousd_per_hour)
