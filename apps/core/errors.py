"""Expected failures. The user sees their sentence; anything else is a bug and gets a reference."""

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext

from apps.core.engine.messages import EngineError, Sentence


def translated(said: EngineError | Sentence) -> str:
    """What an engine says, in the reader's language. Engines know no translation library, so this is their boundary."""
    sentence = said.sentence if isinstance(said, EngineError) else said
    return sentence.say(gettext)


class ApplicationError(Exception):
    """Something a person can understand and mend. `code` is stable, `field` names the input if one is at fault."""

    code = "invalid"
    status = 400

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = str(message)
        self.code = code or self.code
        self.field = field


class NotAllowed(ApplicationError, PermissionDenied):
    code = "forbidden"
    status = 403


class NotFound(ApplicationError, Http404):
    code = "not_found"
    status = 404


class Conflict(ApplicationError):
    """The row is no longer in the state that the change needs."""

    code = "conflict"
    status = 409


class TooOften(ApplicationError):
    """It was tried too often; `wait` seconds from now it may be tried again."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, wait: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.wait = wait
