"""Prices of tokens: exact, and never above the bound that is held before a call."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.engine.rates import Rate, TokenCount, TokenRates, UnboundedPrice, prompt_tokens_bound

PRICES = st.integers(0, 10**13)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    starts = sorted(draw(st.sets(st.integers(0, 400_000), max_size=3)))
    return Rate(draw(PRICES), tuple((start, draw(PRICES)) for start in starts))


@st.composite
def price_lists(draw: st.DrawFn) -> TokenRates:
    maybe = st.none() | rates()
    return TokenRates(
        draw(rates()), draw(rates()), draw(maybe), draw(maybe), draw(maybe), request_nanousd=draw(st.integers(0, 10**9))
    )


@st.composite
def counts(draw: st.DrawFn) -> TokenCount:
    prompt, completion = draw(st.integers(0, 500_000)), draw(st.integers(0, 50_000))
    cached = draw(st.integers(0, prompt))
    return TokenCount(
        prompt, completion, cached, draw(st.integers(0, prompt - cached)), draw(st.integers(0, completion))
    )


@given(price_lists(), counts(), st.integers(0, 1000), st.integers(0, 1000))
def test_no_answer_within_its_limits_costs_more_than_was_held(
    price: TokenRates, tokens: TokenCount, more_prompt: int, more_answer: int
) -> None:
    bound = price.bound_nanousd(prompt_tokens=tokens.prompt + more_prompt, max_tokens=tokens.completion + more_answer)
    assert price.cost_nanousd(tokens) <= bound


@given(price_lists())
def test_a_price_list_survives_its_column(price: TokenRates) -> None:
    assert TokenRates.from_json(price.to_json()) == price


@given(PRICES, PRICES, st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_cost_is_exact_and_rounded_up(cents_in: int, cents_out: int, prompt: int, completion: int) -> None:
    exact = Fraction(cents_in * prompt + cents_out * completion, 10**6)
    cost = TokenRates(Rate(cents_in), Rate(cents_out)).cost_nanousd(TokenCount(prompt, completion))
    assert exact <= cost < exact + 1


def test_a_long_prompt_pays_the_higher_price_for_all_of_it() -> None:
    """gpt-5.4 as published: $2.50 a million up to 272,000 tokens in the prompt, $5 for everything above."""
    price = TokenRates(Rate(2_500_000_000, ((272_000, 5_000_000_000),)), Rate(15_000_000_000))
    assert price.cost_nanousd(TokenCount(272_000, 0)) == 680_000_000
    assert price.cost_nanousd(TokenCount(272_001, 0)) == 1_360_005_000


def test_cached_written_and_reasoning_tokens_have_prices_of_their_own() -> None:
    price = TokenRates(
        Rate(3_000_000_000), Rate(15_000_000_000), cached_input=Rate(300_000_000), cache_write=Rate(3_750_000_000)
    )
    tokens = TokenCount(prompt=1000, completion=100, cached_prompt=600, written_prompt=300, reasoning=40)
    assert price.cost_nanousd(tokens) == 100 * 3000 + 600 * 300 + 300 * 3750 + 100 * 15_000


@pytest.mark.parametrize("value", [{}, {"input": [1, []]}, {"output": [1, []]}])
def test_a_price_list_without_input_or_output_is_no_price(value: dict[str, Any]) -> None:
    with pytest.raises(UnboundedPrice, match="price of input and of output"):
        TokenRates.from_json(value)


def test_parts_larger_than_the_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than the whole"):
        TokenCount(prompt=10, completion=1, cached_prompt=8, written_prompt=3)


@given(st.text(max_size=200))
def test_a_text_never_has_more_bytes_than_its_bound_has_tokens(text: str) -> None:
    assert prompt_tokens_bound([text], messages=1) >= len(text.encode("utf-8", "surrogatepass"))


def test_a_character_that_a_tokeniser_spells_out_is_counted_at_its_longest() -> None:
    # U+FDFA is three bytes; its NFKC form is a sentence of 18 characters.
    assert prompt_tokens_bound(["\ufdfa" * 10], messages=1) >= 10 * 33
