"""Audit events: recorded inside the change's own transaction, sealed into a hash chain per team afterwards."""

import hashlib
import json
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet

from apps.core.models import AuditEvent

SYSTEM = "system"


def record(*, actor: Any, verb: str, target: Any, team_id: int | None = None, **facts: Any) -> AuditEvent:
    """Add an unsealed event. `facts` must be JSON and hold no secret. What was done with an API key names the key."""
    if getattr(actor, "through_key", None) is not None:
        facts["api_key"] = actor.through_key.prefix
    return AuditEvent.objects.create(
        team_id=team_id if team_id is not None else target.owning_team_id,
        actor=actor,
        actor_label=actor.email if actor is not None else SYSTEM,
        verb=verb,
        object_type=target._meta.label_lower,
        object_uid=getattr(target, "uid", None),
        facts=facts,
    )


def event_hash(event: AuditEvent, *, sequence: int, previous_hash: str) -> str:
    """SHA-256 of the event's canonical JSON, its place and the hash before it."""
    content = {
        "sequence": sequence,
        "previous": previous_hash,
        "uid": str(event.uid),
        "at": event.created_at.isoformat(),
        "team": event.team_id,
        "actor": event.actor_label,
        "actor_id": event.actor_id,
        "verb": event.verb,
        "object_type": event.object_type,
        "object_uid": str(event.object_uid) if event.object_uid else None,
        "facts": event.facts,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def seal_pending(*, limit: int = 1000) -> int:
    """Give every unsealed event its sequence number and hash, oldest first. Returns how many were sealed.

    One sealer runs at a time (housekeeping holds a lease). A second one waits for the first one's rows and finds
    them sealed; where it would still take the same place in a chain, the unique sequence (of each team, and of the
    events without one) makes it fail, not fork.
    """
    unsealed = AuditEvent.objects.filter(sequence__isnull=True).order_by("id").select_related(None)
    pending = unsealed.select_for_update()[:limit]
    sealed = 0
    with transaction.atomic():
        heads: dict[int | None, tuple[int, str]] = {}
        for event in pending:
            if event.team_id not in heads:
                heads[event.team_id] = _head(event.team_id)
            sequence, previous = heads[event.team_id]
            event.sequence, event.previous_hash = sequence + 1, previous
            event.hash = event_hash(event, sequence=event.sequence, previous_hash=previous)
            event.save(update_fields=["sequence", "previous_hash", "hash"])
            heads[event.team_id] = (event.sequence, event.hash)
            sealed += 1
    return sealed


def _head(team_id: int | None) -> tuple[int, str]:
    chain = _chain(team_id)
    last = chain.aggregate(last=Max("sequence"))["last"]
    return (last, chain.get(sequence=last).hash) if last else (0, "")


def _chain(team_id: int | None) -> QuerySet[AuditEvent]:
    """Sealed events of a team, or those that belong to no team."""
    sealed = AuditEvent.objects.filter(sequence__isnull=False)
    return sealed.filter(team__isnull=True) if team_id is None else sealed.filter(team_id=team_id)


def first_broken_link(team_id: int | None) -> int | None:
    """Sequence number of the first event whose hash or predecessor does not fit; None when the chain is whole."""
    previous, expected = "", 1
    for event in _chain(team_id).order_by("sequence").iterator():
        fits = event.previous_hash == previous and event.sequence == expected
        if not fits or event.hash != event_hash(event, sequence=expected, previous_hash=previous):
            return int(event.sequence or expected)
        previous, expected = event.hash, expected + 1
    return None


def problems() -> list[str]:
    """A sentence about each chain that is broken; empty when all are whole. Reads every sealed event."""
    teams = AuditEvent.objects.filter(sequence__isnull=False).order_by("team_id").values_list("team_id", "team__slug")
    found = []
    for team_id, slug in teams.distinct():
        broken = first_broken_link(team_id)
        if broken is not None:
            found.append(f"the audit trail of {f'team {slug}' if slug else 'no team'} does not hold at event {broken}")
    return found
