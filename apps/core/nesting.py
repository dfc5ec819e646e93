"""How deep a JSON value goes. Beyond some hundred levels Python's own readers and writers fail in ways of their own."""

from collections.abc import Iterator
from typing import Any

# Deeper than any request is meant to be.
MOST_LEVELS = 64


def levels(value: Any) -> Iterator[list[Any]]:
    """The values of each level, the outermost first."""
    level = [value]
    while level:
        yield level
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        level = below


def is_too_deep(value: Any) -> bool:
    return any(number >= MOST_LEVELS for number, _level in enumerate(levels(value)))
