"""Text in a form that every database and encoding can hold."""

from typing import Any


def storable_text(text: str) -> str:
    """PostgreSQL refuses NUL, UTF-8 half of a surrogate pair; each becomes a replacement character.

    That is no valid JSON outside a string, so an answer that was invalid stays invalid.
    """
    encodable = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return encodable.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def storable_json(value: Any) -> Any:
    """A JSON value with every string in it (keys too) made storable."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(key): storable_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable_json(item) for item in value]
    return value
