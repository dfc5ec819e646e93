"""Reading alerts: what was raised, where it goes, and how each message fared."""

from collections.abc import Iterable
from typing import Any

from django.db.models import OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.billing.models import Alert, AlertDelivery, AlertDestination, Budget
from apps.core.access import fetch_for_user
from apps.core.roles import roles_for

NEWEST = 20
_BUDGET = tuple(f"budget_period__budget__{name}" for name in ("team", "experiment", "person", "api_key"))


def destinations(*, user: Any, team: Team) -> QuerySet[AlertDestination]:
    """Where the team's alerts go, each with the state and the time of the last message there."""
    found = AlertDestination.objects.for_user(user, "view").filter(team=team, removed_at=None)
    return _with_last(found).order_by("id")


def destination(*, user: Any, uid: Any, action: str = "manage", **lookup: Any) -> AlertDestination:
    """One place, removed or not, with the state and the time of the last message there."""
    found = fetch_for_user(AlertDestination, user, action, uid=uid, **lookup)
    return _with_last(AlertDestination.objects.for_user(user, action)).get(pk=found.pk)


def _with_last(found: QuerySet[AlertDestination]) -> QuerySet[AlertDestination]:
    last = AlertDelivery.objects.filter(destination=OuterRef("pk")).order_by("-id")
    return found.annotate(
        last_state=Subquery(last.values("state")[:1]), last_at=Subquery(last.values("created_at")[:1])
    )


def deliveries(*, user: Any, team: Team) -> QuerySet[AlertDelivery]:
    """Messages that were or are to be sent, newest first, tests too."""
    found = AlertDelivery.objects.for_user(user, "view").filter(destination__team=team)
    return found.select_related(
        "destination", "alert__language_model", *(f"alert__{name}" for name in _BUDGET)
    ).order_by("-id")


def alerts(*, user: Any, team: Team, about: Budget | None = None) -> QuerySet[Alert]:
    """What was raised, newest first; about one budget or about everything."""
    found = Alert.objects.for_user(user, "view").filter(team=team)
    if about is not None:
        found = found.filter(budget_period__budget=about)
    return found.select_related("team", "language_model", *_BUDGET).order_by("-id")


def with_deliveries(found: QuerySet[Alert]) -> QuerySet[Alert]:
    """Alerts with their messages, in the order in which those were written down."""
    messages = AlertDelivery.objects.select_related("destination").order_by("id")
    return found.prefetch_related(Prefetch("deliveries", messages))


def alerts_to_tell(*, user: Any, team: Team, uids: Iterable[str]) -> list[Alert]:
    """Of these alerts, those that are told to this person wherever they are: to owners and admins all of them, to
    others what limits them, their API keys or their experiments.
    """
    manages = team.memberships.filter(user=user, role__in=roles_for("manage")).exists()
    found = alerts(user=user, team=team).filter(uid__in=uids)
    if not manages:
        budget = "budget_period__budget"
        found = found.filter(
            Q(**{f"{budget}__person": user})
            | Q(**{f"{budget}__api_key__person": user})
            | Q(**{f"{budget}__experiment__created_by": user})
        )
    return list(found.order_by("id"))


def place_text(place: AlertDestination) -> str:
    """A place in words: its address, or that it is whoever manages the team."""
    return place.address or _("Owners and admins")
