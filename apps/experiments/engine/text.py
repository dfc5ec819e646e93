"""When two inputs count as the same text."""

import hashlib
import unicodedata


def fold_spaces(text: str) -> str:
    """NFC, with every run of white space as one space and none at the ends."""
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    return " ".join(composed.split())


def normalise_input(text: str) -> str:
    """The form under which duplicates are found: folded spaces, case removed."""
    return fold_spaces(text).casefold()


def text_digest(*parts: str) -> bytes:
    """16 bytes of BLAKE2b over the parts, each preceded by its length so that no two lists collide."""
    counted = b""
    for part in parts:
        data = part.encode()
        counted += len(data).to_bytes(8, "big") + data
    return hashlib.blake2b(counted, digest_size=16).digest()


def text_hash(*parts: str) -> str:
    """`text_digest` as 32 hexadecimal digits."""
    return text_digest(*parts).hex()
