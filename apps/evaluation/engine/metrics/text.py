"""Folding and words of text, shared by the formats."""

import unicodedata

# Scripts written without spaces between words: each of their letters counts as a word.
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


def fold(value: str) -> str:
    """NFC, runs of white space as one space, none at the ends; case is kept."""
    return " ".join(unicodedata.normalize("NFC", value).split())


def unicode_words(text: str) -> list[str]:
    """Runs of letters, marks and digits after NFC and case folding; punctuation and symbols only separate.

    A letter of a script that is written without spaces is a word of its own, with the marks that follow it.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    words: list[str] = []
    open_ = ""  # what the last word can take on: "word" everything but a letter of its own, "letter" marks alone
    for char in folded:
        kind = unicodedata.category(char)[0]
        alone = kind != "M" and _is_spaceless(char)
        if kind not in "LMN":
            open_ = ""
        elif (open_ and kind == "M") or (open_ == "word" and not alone):
            words[-1] += char
        else:
            words.append(char)
            open_ = "letter" if alone else "word"
    return words


def has_letters_beyond_latin(text: str) -> bool:
    """Whether a letter of another script than Latin occurs."""
    letters = (char for char in unicodedata.normalize("NFC", text) if char.isalpha())
    return any(not unicodedata.name(char, "").startswith("LATIN") for char in letters)


def storable(text: str) -> str:
    """Without what PostgreSQL's jsonb refuses: NUL and halves of surrogate pairs."""
    return "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in text)


def _is_spaceless(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _SPACELESS)
