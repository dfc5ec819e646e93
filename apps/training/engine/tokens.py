"""One example as the trainer sees it, token by token: trained, not trained, cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Literal

from apps.providers.engine.chat import ChatTokenizer
from apps.training.engine.data import Row

TokenState = Literal["prompt", "trained", "cut"]


@dataclass(frozen=True, slots=True)
class SeenToken:
    """``text`` as people read it, with a mark for a space, a tab and the end of a line."""

    text: str
    id: int
    position: int
    state: TokenState
    special: bool
    ends_line: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring tokens of one state."""

    state: TokenState
    tokens: tuple[SeenToken, ...]


def seen_tokens(row: Row, tokenizer: ChatTokenizer, *, max_length: int) -> list[SeenToken]:
    """Every token of prompt, answer and stop. Raises ChatError when the row cannot be rendered."""
    example = tokenizer.render_example(row.messages, row.answer)
    names = tokenizer.tokens(example.ids)
    found = []
    for position, (token_id, name) in enumerate(zip(example.ids, names, strict=True)):
        state: TokenState = "trained" if example.trained[position] else "prompt"
        if position >= max_length:
            state = "cut"
        text = readable(name)
        special = name.startswith("<") and name.endswith(">")
        found.append(SeenToken(_visible(text), token_id, position, state, special, text.endswith("\n")))
    return found


def stretches(tokens: Sequence[SeenToken]) -> list[Stretch]:
    return [Stretch(state, tuple(group)) for state, group in groupby(tokens, key=lambda token: token.state)]


def readable(name: str) -> str:
    """The text of a vocabulary entry: byte-level entries as the bytes that they stand for, others as written."""
    bytes_of = _byte_letters()
    if name and all(letter in bytes_of for letter in name):
        raw = bytes(bytes_of[letter] for letter in name)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            # Part of a character that several tokens make together.
            return "".join(f"\\x{byte:02x}" for byte in raw) if "Ġ" in name or max(raw) > 127 else name
    return name.replace("▁", " ")


def _visible(text: str) -> str:
    return text.replace(" ", "·").replace("\t", "→").replace("\r", "␍").replace("\n", "⏎")


@lru_cache(maxsize=1)
def _byte_letters() -> dict[str, int]:
    """GPT-2's alphabet: the letter that stands for each byte in a byte-level vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in plain)
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}
