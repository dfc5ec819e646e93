"""When two inputs count as the same text."""

import hashlib
import unicodedata

# Copying an empty digest is cheaper than making one.
_EMPTY = hashlib.blake2b(digest_size=16)


def fold_spaces(text: str) -> str:
    """NFC, with every run of white space as one space and none at the ends."""
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    # The blank is the only white space that can be printed. Seeing that nothing is to be folded takes half the time.
    if composed.isprintable() and "  " not in composed and composed[:1] != " " and composed[-1:] != " ":
        return composed
    return " ".join(composed.split())


def normalise_input(text: str) -> str:
    """The form under which duplicates are found: folded spaces, case removed."""
    return fold_spaces(text).casefold()


def text_digest(*parts: str) -> bytes:
    """16 bytes of BLAKE2b over the parts, each preceded by its length so that no two lists collide."""
    digest = _EMPTY.copy()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()


def text_hash(*parts: str) -> str:
    """`text_digest` as 32 hexadecimal digits."""
    return text_digest(*parts).hex()
