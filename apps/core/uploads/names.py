"""What a sent file is called on pages. No path is ever made from it."""

import unicodedata

MAX_LENGTH = 120
# Control and format characters (bidirectional overrides among them), halves of surrogate pairs, private use, and the
# separators that end a line.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def display_name(sent: str) -> str:
    """The last part of the name that the sender's program gave, without what a reader cannot see or is misled by."""
    last = sent.replace("\\", "/").rpartition("/")[2]
    seen = "".join(" " if unicodedata.category(character) in _UNSEEN else character for character in last)
    name = " ".join(unicodedata.normalize("NFC", seen).split()).strip(". ")
    if len(name) <= MAX_LENGTH:
        return name or "upload"
    stem, dot, ending = name.rpartition(".")
    kept = f"{dot}{ending}" if stem and len(ending) <= 10 else ""
    return f"{name[: MAX_LENGTH - len(kept) - 1]}…{kept}"
