"""API keys that we issue: made once, shown once, revoked for good."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.engine.keys import NAME_BYTES, SECRET_BYTES, key_text, parts_of
from apps.accounts.keys import KeyFacts, forget_keys
from apps.accounts.models import APIKey, APIKeyUse, Team, User
from apps.accounts.selectors import role_in
from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, NotAllowed
from apps.core.roles import roles_for
from apps.core.scopes import NEEDS, KeyScope
from apps.core.storable import storable_text

# How exactly a key's last use is known.
USED_EVERY = timedelta(minutes=1)
KEEP_USES = timedelta(days=90)
MOST_KNOWN = 10_000
LAST_YEAR = 2999


@dataclass(frozen=True)
class APIKeyMade:
    """A new key and its text, which is nowhere else."""

    key: APIKey
    text: str


def api_key_create(
    *,
    actor: User | None,
    team: Team,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    person: User | None = None,
) -> APIKeyMade:
    """Make a key of one's own in `team`, with scopes for which one's role is enough.

    `person` is whose key it is where the command line (actor None) makes one.
    """
    owner = actor if actor is not None else person
    if owner is None:
        raise ApplicationError(_("A key needs a person."), field="person")
    require(team, owner, "view")
    _by_the_person(owner)
    name, wanted = _clean_name(name), _clean_scopes(scopes, role=role_in(user=owner, team=team))
    _check_end(expires_at)
    text = key_text(secrets.token_bytes(NAME_BYTES), secrets.token_bytes(SECRET_BYTES))
    parts = parts_of(text)
    assert parts is not None  # noqa: S101 - what was made just now has the right shape
    with transaction.atomic():
        key = APIKey.objects.create(
            team=team,
            person=owner,
            created_by=owner,
            name=name,
            prefix=parts.prefix,
            key_hash=parts.digest,
            last_four=text[-4:],
            scopes=wanted,
            expires_at=expires_at,
        )
        audit.record(
            actor=actor, verb="api_key.created", target=key, name=name, prefix=key.prefix, scopes=wanted,
            person=owner.email, expires_at=expires_at.isoformat() if expires_at else None,
        )  # fmt: skip
    return APIKeyMade(key, text)


def api_key_change(*, actor: User, key: APIKey, name: str, expires_at: datetime | None) -> APIKey:
    """Call one's own key something else, or let it end at another time. Scopes stay as they were given."""
    require(key, actor, "view")
    _by_the_person(actor)
    if actor.pk != key.person_id:
        raise NotAllowed(_("Only the person whose key this is changes it. An admin can revoke it."))
    name = _clean_name(name)
    if expires_at != key.expires_at:
        _check_end(expires_at)
    with transaction.atomic():
        open_one = APIKey.objects.filter(pk=key.pk, revoked_at__isnull=True)
        if not open_one.update(name=name, expires_at=expires_at):
            raise ApplicationError(_("This key has been revoked. Make a new one."), code="key_revoked")
        audit.record(
            actor=actor, verb="api_key.changed", target=key, name=name, prefix=key.prefix,
            expires_at=expires_at.isoformat() if expires_at else None,
        )  # fmt: skip
        transaction.on_commit(forget_keys)
    key.name, key.expires_at = name, expires_at
    return key


def api_key_revoke(*, actor: User, key: APIKey) -> APIKey:
    """End a key for good: one's own, or as an admin anybody's in the team. Twice is once."""
    _by_the_person(actor)
    require(key, actor, "view" if actor.pk == key.person_id else "manage")
    with transaction.atomic():
        _revoke(actor, key)
    key.refresh_from_db(fields=["revoked_at"])
    return key


def api_keys_of_member_revoke(*, actor: User | None, team: Team, person: User) -> int:
    """End every key of somebody who leaves the team. Part of the leaving: who may do that may do this."""
    open_ones = list(APIKey.objects.filter(team=team, person=person, revoked_at__isnull=True))
    for key in open_ones:
        _revoke(actor, key, left=True)
    return len(open_ones)


def _revoke(actor: User | None, key: APIKey, **facts: bool) -> None:
    if APIKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        audit.record(actor=actor, verb="api_key.revoked", target=key, name=key.name, prefix=key.prefix, **facts)
        transaction.on_commit(forget_keys)


# --- use


# What this process has written lately: when it looks at a key's last use again, and which events there are.
_used_until: dict[UUID, datetime] = {}
_seen: set[tuple[UUID, str, datetime]] = set()


def api_key_use_record(*, actor: User | None, facts: KeyFacts, address: str) -> None:
    """Note that a valid key was used from `address`: `last_used_at` once a minute, and one event per hour and address.

    Cheap to call with each request: what this process has written lately is not even asked for. `actor` is the key's
    person; with None it is read where an event is to be written.
    """
    now = timezone.now()
    if not _is_recent(facts, now):
        # A use that lies ahead was written before the clock was set back.
        old = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USED_EVERY) | Q(last_used_at__gt=now)
        APIKey.objects.filter(old, pk=facts.id).update(last_used_at=now)
        _keep_small()
        _used_until[facts.uid] = now + USED_EVERY
    place = _place(facts, address, now)
    if place not in _seen:
        _record_hour(actor, facts, *place[1:])
        _seen.add(place)


def api_key_use_known(*, facts: KeyFacts, address: str) -> bool:
    """Whether `api_key_use_record` would write nothing: asked by an asyncio loop, which must not wait for that."""
    now = timezone.now()
    return _is_recent(facts, now) and _place(facts, address, now) in _seen


def _is_recent(facts: KeyFacts, now: datetime) -> bool:
    until = _used_until.get(facts.uid)
    return until is not None and now < until <= now + USED_EVERY


def _place(facts: KeyFacts, address: str, now: datetime) -> tuple[UUID, str, datetime]:
    return facts.uid, address[:45], now.replace(minute=0, second=0, microsecond=0)


def _keep_small() -> None:
    if len(_seen) + len(_used_until) >= MOST_KNOWN:
        _seen.clear()
        _used_until.clear()


def _record_hour(actor: User | None, facts: KeyFacts, address: str, hour: datetime) -> None:
    with transaction.atomic():
        _row, first = APIKeyUse.objects.get_or_create(key_id=facts.id, address=address, hour=hour)
        if first:
            key = APIKey.objects.select_related("person").get(pk=facts.id)
            audit.record(
                actor=actor or key.person, verb="api_key.used", target=key, name=key.name, prefix=key.prefix,
                address=address,
            )  # fmt: skip


def api_key_uses_forget() -> int:
    """Delete what kept old events single; the events stay."""
    return APIKeyUse.objects.filter(hour__lt=timezone.now() - KEEP_USES).delete()[0]


# --- what a key may be


def _by_the_person(actor: User) -> None:
    if actor.through_key is not None:
        raise NotAllowed(_("An API key makes, changes and revokes no API keys. Sign in to do that."))


def _clean_name(name: str) -> str:
    name = storable_text(name).strip()
    if not name:
        raise ApplicationError(_("Give the key a name that says what uses it."), field="name")
    if len(name) > 80:
        raise ApplicationError(_("A key's name has at most 80 characters."), field="name")
    return name


def _clean_scopes(scopes: Iterable[str], *, role: str | None) -> list[str]:
    wanted = [scope for scope in KeyScope.values if scope in set(scopes)]
    unknown = sorted(set(scopes) - set(KeyScope.values))
    if unknown:
        message = _("%(scope)s is not a scope. There are %(scopes)s.")
        raise ApplicationError(message % {"scope": unknown[0], "scopes": ", ".join(KeyScope.values)}, field="scopes")
    if not wanted:
        raise ApplicationError(_("Choose what the key is for."), field="scopes")
    for scope in wanted:
        if role not in roles_for(NEEDS[scope]):
            message = _("Your role in this team is not enough for the scope %(scope)s.")
            raise ApplicationError(message % {"scope": scope}, field="scopes")
    return wanted


def _check_end(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= timezone.now():
        raise ApplicationError(_("The end of a key lies in the future."), field="expires_at")
    # Further on, no calendar has the same moment in another time zone.
    if expires_at is not None and expires_at.year > LAST_YEAR:
        message = _("A key ends before the year %(year)d, or has no end.")
        raise ApplicationError(message % {"year": LAST_YEAR + 1}, field="expires_at")
