"""When two inputs count as the same text."""

import hashlib
import unicodedata


def fold_spaces(text: str) -> str:
    """NFC, with every run of white space as one space and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def normalise_input(text: str) -> str:
    """The form under which duplicates are found: folded spaces, case removed."""
    return fold_spaces(text).casefold()


def text_hash(*parts: str) -> str:
    """32 hexadecimal digits of BLAKE2b over the parts, each preceded by its length so that no two lists collide."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
