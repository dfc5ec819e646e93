"""About how many tokens texts will be, and what a model takes for them: for an estimate before anything is sent.

Published tokenisers make a token of about four characters of English; tables, digits and other scripts take more of
them. The range below covers both; it is no bound, and nothing is held by it.
"""

from dataclasses import dataclass

from apps.billing.engine.rates import TokenCount, TokenRates

FEWEST_BYTES_PER_TOKEN = 2.5
MOST_BYTES_PER_TOKEN = 5.0
TOKENS_OF_A_REQUEST = 10


@dataclass(frozen=True, slots=True)
class CallSize:
    """Bytes of a mean prompt and of a mean answer that is right, and the bound of new tokens."""

    prompt_bytes: float
    answer_bytes: float
    max_tokens: int


def cost_range(rates: TokenRates, size: CallSize, *, calls: int) -> tuple[int, int]:
    """Nano-dollars for so many calls, at the least and at the most that is likely.

    The least has short answers of few tokens; at the most the model writes twice as much as a right answer has, within
    its bound.
    """
    low, high = (
        TokenCount(
            prompt=round(size.prompt_bytes / per_token) + TOKENS_OF_A_REQUEST,
            completion=min(size.max_tokens, max(1, round(times * size.answer_bytes / per_token))),
        )
        for per_token, times in ((MOST_BYTES_PER_TOKEN, 1), (FEWEST_BYTES_PER_TOKEN, 2))
    )
    return rates.cost_nanousd(low) * calls, rates.cost_nanousd(high) * calls
