"""An estimate before anything is sent: a range around what then is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.engine.rates import Rate, TokenCount, TokenRates
from apps.billing.engine.token_estimate import CallSize, cost_range

RATES = TokenRates(Rate(400_000_000), Rate(1_600_000_000))


@given(st.integers(4, 5000), st.integers(4, 500), st.integers(1, 100))
def test_text_of_three_or_four_characters_a_token_lies_within(prompt: int, answer: int, calls: int) -> None:
    low, high = cost_range(RATES, CallSize(prompt, answer, 10_000), calls=calls)
    for characters in (3, 4):
        usual = TokenCount(prompt // characters + 10, answer // characters)
        assert low <= RATES.cost_nanousd(usual) * calls + 1600 * calls
        assert RATES.cost_nanousd(usual) * calls <= high


def test_no_answer_is_longer_than_its_bound() -> None:
    low, high = cost_range(RATES, CallSize(100, 10_000, 8), calls=1)
    assert high - RATES.cost_nanousd(TokenCount(round(100 / 2.5) + 10, 8)) == pytest.approx(0)
    assert low < high
