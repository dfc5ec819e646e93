"""Reading feedback, and finding the generations that it is about."""

from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.billing.engine.days import end_of, start_of
from apps.billing.models import LedgerEntry
from apps.core.access import fetch_for_user
from apps.core.errors import ApplicationError, NotFound
from apps.feedback.models import Feedback


def generation(*, user: Any, team: Team, uid: UUID, action: str = "view") -> LedgerEntry:
    """The entry of an answer of this team. NotFound for an id that no answer has: another team's, one that was never
    given, or a correction's.
    """
    rows = LedgerEntry.objects.for_user(user, action).filter(team=team, uid=uid)
    found: LedgerEntry | None = rows.exclude(kind=LedgerEntry.Kind.CORRECTION).first()
    if found is None:
        raise NotFound(
            _("There is no generation %(uid)s in this team. An answer names its own once it is there.") % {"uid": uid},
            field="generation",
        )
    return found


def feedback_said(*, user: Any, uid: UUID, **lookup: Any) -> Feedback:
    """One row of feedback, for whoever may say something in its team. NotFound."""
    return fetch_for_user(Feedback, user, "rate", uid=uid, **lookup)


def feedback(
    *,
    user: Any,
    team: Team,
    entry: LedgerEntry | None = None,
    model: Any = None,
    first: date | None = None,
    last: date | None = None,
) -> QuerySet[Feedback]:
    """Feedback of a team, the newest first: on one generation, alone or beside another; on what a LanguageModel
    answered; given on days of the team's time zone.
    """
    if first is not None and last is not None and last < first:
        raise ApplicationError(_("The last day lies before the first."), field="last")
    found = Feedback.objects.for_user(user, "view").filter(team=team)
    if entry is not None:
        found = found.filter(Q(generation=entry) | Q(other=entry))
    if model is not None:
        found = found.filter(Q(generation__language_model=model) | Q(other__language_model=model))
    if first is not None:
        found = found.filter(given_at__gte=start_of(first, team.time_zone))
    if last is not None:
        found = found.filter(given_at__lt=end_of(last, team.time_zone))
    related = ("generation__language_model", "other__language_model", "preferred", "person", "api_key")
    return found.select_related(*related).order_by("-id")
