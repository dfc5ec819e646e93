"""Bringing alerts to where they go: each place gets its delivery, and each delivery its tries.

An alert is written down exactly once, with the money that made it. A delivery is tried at least once: a process that is
killed between sending and saying so leaves a second message behind, which a webhook's receiver knows by its equal id.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Membership
from apps.billing.alert_texts import Message, message_of
from apps.billing.engine.signing import signed_headers
from apps.billing.engine.webhook_address import ConnectionNotAllowed, NotAccepted
from apps.billing.models import Alert, AlertDelivery, AlertDestination
from apps.core import live
from apps.core.encryption import CannotDecrypt
from apps.core.errors import translated
from apps.core.roles import roles_for
from apps.providers.engine.outbound import BaseUrlRefused

log = logging.getLogger(__name__)

State, Kind = AlertDelivery.State, AlertDestination.Kind
# Seconds after the first, second, … failed try; the try after the last of them is the last.
BACKOFF_SECONDS = (30, 120, 600, 3600, 4 * 3600)
MOST_ATTEMPTS = len(BACKOFF_SECONDS) + 1
# Longer than any try takes; whoever has not said anything by then is dead.
CLAIM_SECONDS = 120.0
SLICE_SECONDS = 20.0
MOST_ALERTS = 100
LONGEST_ERROR = 500


class CannotSend(Exception):
    """Why a message did not go out. `state`: another try may still succeed (pending), or none will."""

    def __init__(self, reason: str, state: str = State.PENDING) -> None:
        super().__init__(reason)
        self.reason = reason[:LONGEST_ERROR]
        self.state = state


@dataclass(frozen=True, slots=True)
class Work:
    prepared: int
    tried: int


def is_anything_due() -> bool:
    """Whether there is work that nobody is at; asked every few seconds."""
    if Alert.objects.filter(prepared_at=None).exists():
        return True
    now = timezone.now()
    at_work = AlertDelivery.objects.filter(state=State.PENDING, claimed_until__gt=now).exists()
    return not at_work and _due(now).exists()


def work(*, seconds: float = SLICE_SECONDS, clock: Callable[[], float] = time.monotonic) -> Work:
    """Prepare what is new, then try what is due, for about `seconds`: the cluster has other things to answer."""
    end, prepared, tried = clock() + seconds, prepare(), 0
    while clock() < end:
        delivery = _claim()
        if delivery is None:
            break
        _try(delivery)
        tried += 1
    return Work(prepared, tried)


def prepare() -> int:
    """Write down the deliveries of new alerts, and tell open pages. Returns how many alerts that were."""
    return sum(_prepare(alert) for alert in Alert.objects.filter(prepared_at=None).order_by("id")[:MOST_ALERTS])


def _prepare(alert: Alert) -> bool:
    """False: another process was faster."""
    with transaction.atomic():
        now = timezone.now()
        if not Alert.objects.filter(pk=alert.pk, prepared_at=None).update(prepared_at=now):
            return False
        AlertDelivery.objects.bulk_create(
            AlertDelivery(alert=alert, destination=destination, recipient=recipient, next_attempt_at=now)
            for destination in AlertDestination.objects.filter(team=alert.team_id, removed_at=None)
            for recipient in recipients(destination)
        )
        live.publish(alert, "alert")
    return True


def recipients(destination: AlertDestination) -> list[str]:
    """Whom a message to this place is addressed to: one message each."""
    if destination.kind != Kind.EMAIL:
        return [""]
    if destination.address:
        return [destination.address]
    managers = Membership.objects.filter(
        team=destination.team_id, role__in=roles_for("manage"), user__is_active=True
    ).order_by("user_id")
    return list(managers.values_list("user__email", flat=True))


def _due(now: datetime) -> QuerySet[AlertDelivery]:
    unclaimed = Q(claimed_until=None) | Q(claimed_until__lte=now)
    return AlertDelivery.objects.filter(unclaimed, state=State.PENDING, next_attempt_at__lte=now)


def _claim() -> AlertDelivery | None:
    """The next delivery that is due, for this process alone for a while."""
    now = timezone.now()
    until = now + timedelta(seconds=CLAIM_SECONDS)
    for pk in _due(now).order_by("next_attempt_at", "id").values_list("pk", flat=True)[:10]:
        if _due(now).filter(pk=pk).update(claimed_until=until, attempts=F("attempts") + 1):
            return _WITH_ALL.get(pk=pk)
    return None


_WITH_ALL = AlertDelivery.objects.select_related(
    "destination__team",
    "alert__team",
    "alert__language_model",
    *(f"alert__budget_period__budget__{name}" for name in ("team", "experiment", "person", "api_key")),
)


def _try(delivery: AlertDelivery) -> None:
    try:
        if delivery.attempts > MOST_ATTEMPTS:
            raise CannotSend(_("The process that sent it died again and again."), State.FAILED)
        _send(delivery)
    except CannotSend as error:
        state, reason = error.state, error.reason
    except Exception:
        log.exception("an alert could not be sent", extra={"delivery": str(delivery.uid)})
        state, reason = (
            State.PENDING,
            _("Something went wrong here; the log has it under %(uid)s.") % {"uid": delivery.uid},
        )
    else:
        state, reason = State.SENT, ""
    _record(delivery, state, reason)


def _record(delivery: AlertDelivery, state: str, reason: str) -> None:
    """Write down how the try ended, unless another process has taken the delivery over meanwhile."""
    now = timezone.now()
    if state == State.PENDING and delivery.attempts >= MOST_ATTEMPTS:
        state = State.FAILED
    fields: dict[str, Any] = {"state": state, "error": reason, "claimed_until": None}
    if state == State.PENDING:
        fields["next_attempt_at"] = now + timedelta(seconds=BACKOFF_SECONDS[delivery.attempts - 1])
    else:
        fields["closed_at"] = now
    mine = AlertDelivery.objects.filter(
        pk=delivery.pk, state=State.PENDING, attempts=delivery.attempts, claimed_until=delivery.claimed_until
    )
    with transaction.atomic():
        if mine.update(**fields):
            live.publish(delivery, "deliveries")


def _send(delivery: AlertDelivery) -> None:
    destination = delivery.destination
    if destination.removed_at is not None:
        raise CannotSend(_("This place was removed before the message was sent."), State.NOT_SENT)
    message = message_of(delivery)
    if destination.kind == Kind.EMAIL:
        _send_mail(delivery.recipient, message)
    elif destination.kind == Kind.WEBHOOK:
        _send_webhook(delivery, message)
    else:
        _send_chat(destination, message)


def _send_mail(recipient: str, message: Message) -> None:
    if not settings.MAIL_AVAILABLE:
        said = _("This installation has no mail server. Its operator sets LLMOPT_EMAIL_URL.")
        raise CannotSend(said, State.NOT_SENT)
    # A name may hold a line break, a header may not.
    subject = " ".join(f"LLMOpt: {message.title}".split())
    mail = EmailMessage(subject, message.body, to=[recipient], headers={"Auto-Submitted": "auto-generated"})
    try:
        mail.send()
    except OSError as error:  # SMTPException is one
        raise CannotSend(_("The mail server did not take it: %(why)s") % {"why": error}) from error


def _send_webhook(delivery: AlertDelivery, message: Message) -> None:
    from apps.billing.engine.webhook_post import post

    body = json.dumps(message.payload, ensure_ascii=False, separators=(",", ":")).encode()
    headers = signed_headers(
        _secret(delivery.destination),
        message_id=str(delivery.uid),
        timestamp=int(timezone.now().timestamp()),
        body=body,
    )
    with _said():
        post(delivery.destination.address, body, headers, settings.WEBHOOK_HOSTS)


def _send_chat(destination: AlertDestination, message: Message) -> None:
    from apps.billing.engine.chat_post import post

    with _said():
        post(_secret(destination), f"{message.title}\n{message.body}".strip(), settings.WEBHOOK_HOSTS)


@contextmanager
def _said() -> Iterator[None]:
    """What an engine says, to whoever reads the list of messages."""
    try:
        yield
    except NotAccepted as error:
        raise CannotSend(translated(error)) from error
    except (ConnectionNotAllowed, BaseUrlRefused) as error:
        raise CannotSend(translated(error), State.FAILED) from error


def _secret(destination: AlertDestination) -> str:
    try:
        return destination.secret.open(context=destination.secret_context)
    except CannotDecrypt as error:
        raise CannotSend(error.message, State.FAILED) from error
