"""How the engine marks sentences for translation without importing a translation library."""

from collections.abc import Callable

Translate = Callable[[str], str]


def gettext_noop(message: str) -> str:
    """Return the message unchanged; its name lets `makemessages` find the literal."""
    return message


def identity(message: str) -> str:
    """The default translation: English as written."""
    return message
