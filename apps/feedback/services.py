"""Saying what one thinks of a generation, and taking it back."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.billing.models import LedgerEntry
from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, NotAllowed, NotFound
from apps.core.storable import storable_text
from apps.feedback.models import Feedback

SCALE = (1, 5)
# Beyond these nobody tells two neighbouring marks apart.
SCALE_ENDS = (-1000, 1000)
MOST_CHARACTERS = 4000


def feedback_give(
    *,
    actor: Any,
    generation: LedgerEntry,
    kind: str,
    rating: int | None = None,
    scale: tuple[int, int] = SCALE,
    thumb_up: bool | None = None,
    other: LedgerEntry | None = None,
    preferred: LedgerEntry | None = None,
    comment: str = "",
) -> Feedback:
    """Rate a generation on `scale`, put a thumb up or down, or choose between it and `other` (`preferred` None: a tie).

    One of each kind for every giver (the API key that `actor` came with, else the person) and generation or pair: said
    again, it takes the place of what was said before, which the audit trail keeps.
    """
    if kind == Feedback.Kind.CHOICE:
        of, said = _choice(generation, other, preferred)
    else:
        of = {"generation": generation, "other": None}
        said = _rating(rating, scale) if kind == Feedback.Kind.RATING else _thumb(thumb_up)
    comment = storable_text(comment.strip())
    if len(comment) > MOST_CHARACTERS:
        raise ApplicationError(
            _("A comment has at most %(n)d characters; this one has %(has)d.")
            % {"n": MOST_CHARACTERS, "has": len(comment)},
            field="comment",
        )
    said["comment"] = comment
    with transaction.atomic():
        for entry in (generation, other) if kind == Feedback.Kind.CHOICE else (generation,):
            require(entry, actor, "rate")
        key = actor.through_key
        giver = {"person_id": actor.pk, "api_key_id": key.id if key is not None else None}
        row, made = Feedback.objects.select_for_update().get_or_create(
            **giver, **of, kind=kind, defaults={"team": generation.team, "given_at": timezone.now(), **said}
        )
        if made:
            audit.record(actor=actor, verb="feedback.given", target=row, **_facts(row))
        elif any(getattr(row, name) != value for name, value in said.items()):
            _replace(actor, row, said)
    found: Feedback = row
    return found


def feedback_withdraw(*, actor: Any, feedback: Feedback) -> None:
    """Take back what was said: it counts no more, and the audit trail alone keeps it.

    By who said it: the person, also for their keys, or the key itself. Or by an admin, who signs in for it.
    """
    with transaction.atomic():
        row = Feedback.objects.select_for_update().filter(pk=feedback.pk).first()
        if row is None:
            raise NotFound(_("This feedback is withdrawn already."))
        require(row, actor, "rate")
        _require_giver(actor, row)
        audit.record(actor=actor, verb="feedback.withdrawn", target=row, given_by=row.person.email, **_facts(row))
        row.delete()


def _require_giver(actor: Any, row: Feedback) -> None:
    key = actor.through_key
    if key is not None:
        if row.api_key_id != key.id:
            raise NotAllowed(_("An API key withdraws only the feedback that it gave itself."))
    elif row.person_id != actor.pk:
        try:
            require(row, actor, "manage")
        except NotAllowed:
            raise NotAllowed(_("Feedback is withdrawn by who gave it, or by an admin of the team.")) from None


def _replace(actor: Any, row: Feedback, said: dict[str, Any]) -> None:
    before = _facts(row)
    for name, value in said.items():
        setattr(row, name, value)
    row.given_at = timezone.now()
    row.save(update_fields=[*said, "given_at"])
    audit.record(actor=actor, verb="feedback.changed", target=row, **_facts(row), before=before)


def _rating(rating: int | None, scale: tuple[int, int]) -> dict[str, Any]:
    low, high = scale
    if not SCALE_ENDS[0] <= low < high <= SCALE_ENDS[1]:
        raise ApplicationError(
            _("A scale goes from a lower to a higher number, between %(low)d and %(high)d.")
            % {"low": SCALE_ENDS[0], "high": SCALE_ENDS[1]},
            field="scale",
        )
    if rating is None or not low <= rating <= high:
        raise ApplicationError(
            _("A rating on this scale is a whole number from %(low)d to %(high)d.") % {"low": low, "high": high},
            field="rating",
        )
    return {"rating": rating, "scale_low": low, "scale_high": high}


def _thumb(up: bool | None) -> dict[str, Any]:
    if up is None:
        raise ApplicationError(_("Say whether the thumb is up or down."), field="thumb")
    return {"thumb_up": up}


def _choice(
    generation: LedgerEntry, other: LedgerEntry | None, preferred: LedgerEntry | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pair in the order of booking, and which of the two it is."""
    if other is None or other.pk == generation.pk:
        raise ApplicationError(_("A choice is between two different generations: name the other one."), field="other")
    if other.team_id != generation.team_id:
        raise ApplicationError(_("The other generation belongs to another team."), field="other")
    if preferred is not None and preferred.pk not in (generation.pk, other.pk):
        raise ApplicationError(
            _("What is preferred is one of the two generations, or null for a tie."), field="preferred"
        )
    first, second = sorted((generation, other), key=lambda entry: entry.pk)
    return {"generation": first, "other": second}, {"preferred": preferred}


def _facts(row: Feedback) -> dict[str, Any]:
    """What was said, for the audit trail."""
    facts: dict[str, Any] = {"kind": str(row.kind), "generation": str(row.generation.uid), "comment": row.comment}
    if row.kind == Feedback.Kind.RATING:
        return {**facts, "rating": row.rating, "scale": [row.scale_low, row.scale_high]}
    if row.kind == Feedback.Kind.THUMB:
        return {**facts, "thumb_up": row.thumb_up}
    assert row.other is not None
    return {
        **facts,
        "other": str(row.other.uid),
        "preferred": str(row.preferred.uid) if row.preferred is not None else None,
    }
