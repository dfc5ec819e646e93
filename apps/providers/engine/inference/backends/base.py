"""What the scheduler asks of a library that runs models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from apps.providers.engine.inference.sequence import Sampling

# (index in the batch, token id) → whether this sequence wants no more tokens
OnToken = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts that run together: each is ``prefix`` + one of ``suffixes``; no suffix is empty."""

    prefix: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]
    max_new_tokens: int
    stop_ids: tuple[int, ...]
    sampling: Sampling


class Backend(Protocol):
    """One loaded model. All calls come from one thread."""

    def has_prefix(self, prefix: tuple[int, ...]) -> bool:
        """Whether the state after this prefix is cached, so that a batch with it need not read it again."""
        ...

    def generate(self, batch: Batch, on_token: OnToken) -> None:
        """Report every new token, the stop token included, until each sequence has ended."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...
