"""The text of an API key: `llmopt_`, eight characters that name it, `_`, a secret of 256 bits, and a checksum.

Scanners that look for secrets recognise the beginning. The checksum tells a key that was mistyped or cut off from an
unknown one before anything is looked up.
"""

import hashlib
import re
import string
import zlib
from dataclasses import dataclass

BRAND = "llmopt_"
SECRET_BYTES = 32
NAME_BYTES = 8
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_NAME, _SECRET, _SUM = 8, 43, 6
_KEY = re.compile(rf"({BRAND}[0-9A-Za-z]{{{_NAME}}})_[0-9A-Za-z]{{{_SECRET + _SUM}}}")


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What of a key is stored: its beginning, which is shown, and the hex SHA-256 of all of it."""

    prefix: str
    digest: str


def key_text(name: bytes, secret: bytes) -> str:
    """A key of NAME_BYTES and SECRET_BYTES random bytes."""
    body = f"{BRAND}{_base62(name, _NAME)}_{_base62(secret, _SECRET)}"
    return body + _checksum(body)


def looks_like_key(text: str) -> bool:
    """Whether somebody meant this to be one of our keys."""
    return text.startswith(BRAND)


def parts_of(text: str) -> KeyParts | None:
    """None for what cannot be a key: another shape, a character more or less, or a checksum that does not fit."""
    found = _KEY.fullmatch(text)
    if found is None or _checksum(text[:-_SUM]) != text[-_SUM:]:
        return None
    return KeyParts(found.group(1), hashlib.sha256(text.encode()).hexdigest())


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()).to_bytes(4, "big"), _SUM)


def _base62(data: bytes, length: int) -> str:
    """The number that `data` is, in base 62, its last `length` digits."""
    number, digits = int.from_bytes(data, "big"), ""
    for _digit in range(length):
        number, rest = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[rest] + digits
    return digits
