"""Who an API key stands for. The REST API and the gateway ask here with every request."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.engine.keys import KeyParts, parts_of
from apps.accounts.models import APIKey, Membership
from apps.core.db import in_database_once
from apps.core.roles import roles_for
from apps.core.scopes import NEEDS

# How long a process believes what it has read. A key that is revoked, and a role that is taken away, work for this
# long where another process made the change.
MEMORY_SECONDS = 5.0
MOST_REMEMBERED = 10_000
_memory: dict[str, tuple["KeyFacts", float]] = {}


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A valid key: its team, its person, and what it may do. `role` is that of the person in the team."""

    id: int
    uid: UUID
    prefix: str
    name: str
    team_id: int
    team_slug: str
    person_id: int
    role: str
    scopes: frozenset[str]
    expires_at: datetime | None

    def opens(self, scope: str) -> bool:
        """Whether the key has `scope`, and its person's role what the scope needs."""
        return scope in self.scopes and self.role in roles_for(NEEDS[scope])


@dataclass(frozen=True)
class KeyRefusal:
    """Why a key is not valid: a stable code, and a sentence for whoever sent it."""

    code: str
    message: str


def key_of(text: str) -> KeyFacts | None:
    """The facts of the key with this text; None for one that opens nothing (`key_refusal` says why).

    What is read is believed for MEMORY_SECONDS. From an asyncio loop, call `key_of_async`.
    """
    parts = parts_of(text)
    return None if parts is None else _remembered(parts) or _read(parts)


async def key_of_async(text: str) -> KeyFacts | None:
    """As `key_of`. It leaves the loop only for a key that it does not remember."""
    parts = parts_of(text)
    return None if parts is None else _remembered(parts) or await in_database_once(parts, _read, parts)


def key_refusal(text: str) -> KeyRefusal:
    """Why `key_of` gave nothing for this text. Only whoever holds the whole key learns what became of it."""
    parts = parts_of(text)
    if parts is None:
        message = _("This API key is mistyped or cut off: its checksum does not fit. Copy the whole key again.")
        return KeyRefusal("key_malformed", message)
    row = APIKey.objects.filter(prefix=parts.prefix).select_related("person", "team").first()
    if row is None or not hmac.compare_digest(row.key_hash, parts.digest):
        return KeyRefusal("key_unknown", _("There is no such API key. Make a new one under Settings, API keys."))
    if row.revoked_at is not None:
        return KeyRefusal("key_revoked", _("This API key has been revoked. Make a new one under Settings, API keys."))
    if row.expires_at is not None and row.expires_at <= timezone.now():
        message = _("This API key ended on %(day)s. Give it a later end, or make a new one under Settings, API keys.")
        return KeyRefusal("key_expired", message % {"day": f"{row.expires_at:%Y-%m-%d}"})
    return KeyRefusal("key_without_person", _("The person whose API key this is has left the team."))


def forget_keys() -> None:
    """Read every key anew: something about one of them was changed in this process."""
    _memory.clear()


def _remembered(parts: KeyParts) -> KeyFacts | None:
    facts, until = _memory.get(parts.digest, (None, 0.0))
    if facts is None or monotonic() >= until or _ended(facts.expires_at):
        return None
    return facts


def _read(parts: KeyParts) -> KeyFacts | None:
    role = Membership.objects.filter(team=OuterRef("team_id"), user=OuterRef("person_id")).values("role")
    row = (
        APIKey.objects.filter(prefix=parts.prefix, revoked_at__isnull=True, person__is_active=True)
        .annotate(role=Subquery(role[:1]))
        .values_list(
            "key_hash", "role", "id", "uid", "name", "team_id", "team__slug", "person_id", "scopes", "expires_at"
        )
        .first()
    )
    if row is None:
        return None
    key_hash, role_now, pk, uid, name, team_id, team_slug, person_id, scopes, expires_at = row
    if not hmac.compare_digest(key_hash, parts.digest) or role_now is None or _ended(expires_at):
        return None
    facts = KeyFacts(
        pk, uid, parts.prefix, name, team_id, team_slug, person_id, role_now, frozenset(scopes), expires_at
    )
    if len(_memory) >= MOST_REMEMBERED:
        _memory.clear()
    _memory[parts.digest] = (facts, monotonic() + MEMORY_SECONDS)
    return facts


def _ended(expires_at: datetime | None) -> bool:
    return expires_at is not None and expires_at <= timezone.now()
