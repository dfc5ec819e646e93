"""The same write asked for twice is done once: a caller names it by a key, and gets the first answer again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError
from apps.core.models import IdempotentAnswer

KEPT = timedelta(hours=24)
MAX_KEY = 128


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    location: str = ""
    repeated: bool = False


class KeyUsedOtherwise(ApplicationError):
    code = "idempotency_key_used"
    status = 409


def checked_key(key: str) -> str:
    """The key as it was sent. ApplicationError for one that is none."""
    if not 0 < len(key) <= MAX_KEY or not (key.isascii() and key.isprintable()):
        raise ApplicationError(
            _("An Idempotency-Key has 1 to %(most)s printable characters of ASCII.") % {"most": MAX_KEY},
            code="idempotency_key_invalid",
        )
    return key


def answer_once(*, actor: Any, team: str, key: str, fingerprint: str, make: Callable[[], Answer]) -> Answer:
    """What `make` answers, or what it answered when it was asked with this key before.

    The change and the memory of its answer are one transaction: after a crash there are both or neither, and of two
    requests at once the second waits for the first. A refusal (an exception) is not remembered: it changed nothing.
    """
    key = checked_key(key)
    with transaction.atomic():
        mine = IdempotentAnswer.objects.filter(actor=actor, team=team, key=key)
        mine.filter(created_at__lt=timezone.now() - KEPT).delete()
        row, made = IdempotentAnswer.objects.get_or_create(
            actor=actor, team=team, key=key, defaults={"fingerprint": fingerprint}
        )
        if not made:
            return _repeated(row, fingerprint)
        answer = make()
        mine.update(status=answer.status, body=answer.body, location=answer.location)
    return answer


def _repeated(row: IdempotentAnswer, fingerprint: str) -> Answer:
    if row.fingerprint != fingerprint:
        raise KeyUsedOtherwise(
            _("This Idempotency-Key was used for another request. Send a new key, or the same request again.")
        )
    return Answer(status=row.status, body=row.body, location=row.location, repeated=True)


def forget_old() -> None:
    """Delete answers that are no longer given again."""
    IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
