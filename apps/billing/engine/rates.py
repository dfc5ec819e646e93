"""What a provider takes for tokens, and the most that one call can cost.

Amounts are nano-dollars per million tokens: a price list that goes to thousandths of a cent is exact in them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

MILLION = 1_000_000

# What a provider adds to a text to mark who speaks, for each message and once for each request, and what it writes in
# front of a request with tools. Published figures: 3 or 4 tokens a message, at most 530 for tools.
MESSAGE_TOKENS = 16
REQUEST_TOKENS = 64
TOOLS_TOKENS = 1024


class UnboundedPrice(ValueError):
    """A price that no bound can be computed from."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Nano-dollars per million tokens. `tiers` are (prompt tokens, price): above so many tokens in the prompt, that
    price holds for all tokens of the request; the last tier that applies decides.
    """

    base: int
    tiers: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.tiers]
        if starts != sorted(set(starts)) or any(start < 0 for start in starts):
            raise ValueError("tiers must begin at rising numbers of prompt tokens")
        if min((self.base, *(price for _, price in self.tiers))) < 0:
            raise ValueError("a price of tokens must be at least 0")

    def at(self, prompt_tokens: int) -> int:
        """The price that holds for a request with so many tokens in its prompt."""
        return next((price for start, price in reversed(self.tiers) if prompt_tokens > start), self.base)

    def most(self, prompt_tokens: int) -> int:
        """The highest price of any request with at most so many tokens in its prompt."""
        return max((self.base, *(price for start, price in self.tiers if prompt_tokens > start)))


@dataclass(frozen=True, slots=True)
class TokenCount:
    """What one answer used. Cached and written tokens are parts of the prompt, reasoning tokens of the completion."""

    prompt: int
    completion: int
    cached_prompt: int = 0
    written_prompt: int = 0
    reasoning: int = 0

    def __post_init__(self) -> None:
        if min(self.prompt, self.completion, self.cached_prompt, self.written_prompt, self.reasoning) < 0:
            raise ValueError("a number of tokens cannot be negative")
        if self.cached_prompt + self.written_prompt > self.prompt or self.reasoning > self.completion:
            raise ValueError("parts of a prompt or a completion cannot be larger than the whole")


@dataclass(frozen=True, slots=True)
class TokenRates:
    """A model's price list. A kind of tokens without a rate of its own costs what the whole it is a part of costs."""

    input: Rate
    output: Rate
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    request_nanousd: int = 0

    def cost_nanousd(self, tokens: TokenCount) -> int:
        """What an answer cost, rounded up to a whole nano-dollar."""
        parts = (
            (self.input, tokens.prompt - tokens.cached_prompt - tokens.written_prompt),
            (self.cached_input or self.input, tokens.cached_prompt),
            (self.cache_write or self.input, tokens.written_prompt),
            (self.output, tokens.completion - tokens.reasoning),
            (self.reasoning or self.output, tokens.reasoning),
        )
        total = sum(rate.at(tokens.prompt) * count for rate, count in parts)
        return self.request_nanousd + _whole(total)

    def bound_nanousd(self, *, prompt_tokens: int, max_tokens: int) -> int:
        """The most that a request can cost whose prompt has at most `prompt_tokens`, its answer at most `max_tokens`.

        Every kind of token is taken at the highest price that any tier within reach has: a cached prompt may cost more
        than a fresh one, and a longer prompt less for each token than a shorter one.
        """
        ins = [rate for rate in (self.input, self.cached_input, self.cache_write) if rate is not None]
        outs = [rate for rate in (self.output, self.reasoning) if rate is not None]
        dearest_in = max(rate.most(prompt_tokens) for rate in ins)
        dearest_out = max(rate.most(prompt_tokens) for rate in outs)
        return self.request_nanousd + _whole(dearest_in * prompt_tokens + dearest_out * max_tokens)

    def starts(self) -> list[int]:
        """Above which numbers of prompt tokens any of its prices changes, rising."""
        return sorted({start for _, rate in self._rates() for start, _price in rate.tiers})

    def most(self) -> int:
        """The highest of all its prices for a million tokens."""
        return max(price for _, rate in self._rates() for price in (rate.base, *(price for _, price in rate.tiers)))

    def to_json(self) -> dict[str, Any]:
        """For a database column: {"input": [base, [[above, price], …]], …, "request_nanousd": n}."""
        found: dict[str, Any] = {"request_nanousd": self.request_nanousd}
        for name, rate in self._rates():
            found[name] = [rate.base, [list(tier) for tier in rate.tiers]]
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. UnboundedPrice if it has no price of input or output."""
        rates = {
            field.name: Rate(int(value[field.name][0]), tuple((int(a), int(b)) for a, b in value[field.name][1]))
            for field in fields(cls)
            if field.name != "request_nanousd" and value.get(field.name) is not None
        }
        if "input" not in rates or "output" not in rates:
            raise UnboundedPrice("a price list needs a price of input and of output")
        return cls(**rates, request_nanousd=int(value.get("request_nanousd", 0)))

    def _rates(self) -> Iterable[tuple[str, Rate]]:
        for field in fields(self):
            rate = getattr(self, field.name)
            if isinstance(rate, Rate):
                yield field.name, rate


def prompt_tokens_bound(texts: Iterable[str], *, messages: int, tools: bool = False) -> int:
    """More tokens than a prompt of these texts has with any tokeniser that works on bytes.

    Such a tokeniser makes at most one token of each byte. Some normalise a text first, and the longest form (NFKC may
    turn one character into eighteen) is what counts then.
    """
    total = REQUEST_TOKENS + MESSAGE_TOKENS * messages + (TOOLS_TOKENS if tools else 0)
    for text in texts:
        size = len(text.encode("utf-8", "surrogatepass"))
        if not text.isascii():
            size = max(size, len(unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")))
        total += size
    return total


def _whole(per_million: int) -> int:
    return -(-per_million // MILLION)
