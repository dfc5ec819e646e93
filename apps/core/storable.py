"""Text in a form that every database and encoding can hold."""

from typing import Any

# Refused by JSON wherever NUL is, and taken by every database: what was no valid JSON does not become so.
INSTEAD_OF_NUL = "\x01"


def storable_text(text: str) -> str:
    """PostgreSQL refuses NUL, UTF-8 half of a surrogate pair: the one becomes U+0001, the other replacement characters.

    Whether a JSON reader takes the text does not change: half of a pair stands only where any other character may.
    """
    encodable = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return encodable.replace("\x00", INSTEAD_OF_NUL)


def storable_json(value: Any) -> Any:
    """A JSON value with every string in it (keys too) made storable."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(key): storable_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable_json(item) for item in value]
    return value
