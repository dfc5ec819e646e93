"""Money is exact and rounded up."""

import random
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.engine.ledger import period_key
from apps.billing.engine.money import compute_cost_nanousd, local_call_bound_nanousd, local_call_bound_seconds
from apps.billing.engine.retry import LONGEST_SECONDS, delay_seconds


@pytest.mark.parametrize(
    ("seconds", "per_hour", "cost"),
    [(0.0, 100_000_000, 0), (3600.0, 100_000_000, 100_000_000), (1.0, 1, 1), (0.25, 360_000_000, 25_000), (5.0, 0, 0)],
)
def test_computing_costs_its_share_of_an_hour_rounded_up(seconds: float, per_hour: int, cost: int) -> None:
    assert compute_cost_nanousd(seconds, per_hour) == cost


@given(st.floats(0, 1e6), st.integers(0, 10**15))
def test_a_cost_is_the_smallest_whole_amount_that_is_not_too_little(seconds: float, per_hour: int) -> None:
    exact = Fraction(seconds) * per_hour / 3600
    assert exact <= compute_cost_nanousd(seconds, per_hour) < exact + 1


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_duration_that_is_none_has_no_cost(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        compute_cost_nanousd(seconds, 1)


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.floats(1, 600))
def test_a_bound_grows_with_the_request_and_never_passes_the_timeout(size: int, tokens: int, timeout: float) -> None:
    bound = local_call_bound_seconds(prompt_bytes=size, max_tokens=tokens, timeout_seconds=timeout)
    larger = local_call_bound_seconds(prompt_bytes=size + 1, max_tokens=tokens + 1, timeout_seconds=timeout)
    assert 0 < bound <= larger <= timeout
    assert local_call_bound_nanousd(
        prompt_bytes=size, max_tokens=tokens, timeout_seconds=timeout, nanousd_per_hour=3600
    ) == compute_cost_nanousd(bound, 3600)


@pytest.mark.parametrize(("period", "key"), [("total", "total"), ("monthly", "2026-12"), ("daily", "2026-12-01")])
def test_a_period_is_that_of_the_team_s_own_clock(period: str, key: str) -> None:
    half_past_midnight_in_berlin = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    assert period_key(period, half_past_midnight_in_berlin, "Europe/Berlin") == key


def test_waiting_grows_to_a_limit_and_respects_the_provider() -> None:
    rng = random.Random(5)
    waits = [[delay_seconds(attempt, rng) for _ in range(50)] for attempt in range(1, 40)]
    assert max(waits[0]) <= 0.5
    assert all(0 < wait <= LONGEST_SECONDS for several in waits for wait in several)
    assert max(waits[-1]) > max(waits[0])
    assert delay_seconds(1, rng, retry_after=20.0) == 20.0
