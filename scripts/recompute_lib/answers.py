"""Answers in JSON: a strict reader of one flat RFC 8259 object, and what is counted in it.

Written without the standard library's `json`, which accepts NaN and duplicate keys and turns numbers into floats.
"""

import re
import unicodedata
from collections import Counter

WHITE = " \t\n\r"
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
HEX4 = re.compile(r"[0-9a-fA-F]{4}")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class InvalidAnswer(ValueError):
    """The text is not one flat JSON object of strings and numbers."""


def fold(value: str) -> str:
    """NFC, then every run of white space as one space, none at the ends. Case is kept."""
    return " ".join(unicodedata.normalize("NFC", value).split())


def read_answer(text: str) -> dict[str, str]:
    """Keys as written, values folded; a number stands as its literal text. Raises InvalidAnswer."""
    reader = _Reader(text)
    pairs = reader.document()
    return {key: fold(value) for key, value in pairs.items()}


def try_answer(text: str | None) -> dict[str, str] | None:
    """The answer, or None if the text is missing or invalid."""
    if text is None:
        return None
    try:
        return read_answer(text)
    except InvalidAnswer:
        return None


def pair_counts(expected: dict[str, str], answer: dict[str, str] | None) -> tuple[int, int, int]:
    """(pairs in common, pairs predicted, pairs expected), as multisets; an invalid answer predicts nothing."""
    gold = Counter(expected.items())
    predicted = Counter((answer or {}).items())
    return (gold & predicted).total(), predicted.total(), gold.total()


class _Reader:
    """One pass over the text; every method leaves `at` behind what it read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> dict[str, str]:
        self.skip()
        self.take("{")
        pairs: dict[str, str] = {}
        self.skip()
        if self.peek() == "}":
            self.at += 1
        else:
            self.members(pairs)
        self.skip()
        if self.at != len(self.text):
            raise InvalidAnswer("text after the object")
        return pairs

    def members(self, pairs: dict[str, str]) -> None:
        while True:
            self.skip()
            key = self.string()
            if key in pairs:
                raise InvalidAnswer(f"duplicate key {key!r}")
            self.skip()
            self.take(":")
            self.skip()
            pairs[key] = self.string() if self.peek() == '"' else self.number()
            self.skip()
            if self.peek() == "}":
                self.at += 1
                return
            self.take(",")

    def number(self) -> str:
        found = NUMBER.match(self.text, self.at)
        if not found:
            raise InvalidAnswer("a value that is neither string nor number")
        self.at = found.end()
        return found.group()

    def string(self) -> str:
        self.take('"')
        parts: list[str] = []
        while True:
            plain = PLAIN.match(self.text, self.at)
            if plain:
                parts.append(plain.group())
                self.at = plain.end()
            mark = self.peek()
            if mark == '"':
                self.at += 1
                # Two escaped halves of a pair are one character.
                return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
            self.take("\\")
            parts.append(self.escape())

    def escape(self) -> str:
        letter = self.peek()
        self.at += 1
        if letter == "u":
            digits = HEX4.match(self.text, self.at)
            if not digits:
                raise InvalidAnswer("a broken \\u escape")
            self.at = digits.end()
            return chr(int(digits.group(), 16))
        if letter not in ESCAPES:
            raise InvalidAnswer("an unknown escape")
        return ESCAPES[letter]

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in WHITE:
            self.at += 1

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self, mark: str) -> None:
        if self.peek() != mark:
            raise InvalidAnswer(f"expected {mark!r} at character {self.at}")
        self.at += 1
