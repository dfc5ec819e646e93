"""The database side of live events: who may listen, and what happened. Runs in threads, never on the event loop."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.contrib.auth import get_user
from django.db import close_old_connections
from django.db.models import Max, Min, Q
from django.http import HttpRequest, parse_cookie

from apps.accounts.models import Team
from apps.core.models import LiveEvent
from llmopt.edge.hub import WHOLE_TEAM, Event

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Listener:
    """What the session and the address say: `team_id` is None when this person sees no such team."""

    signed_in: bool
    team_id: int | None = None


def in_thread_of_its_own(function: Callable[P, T]) -> Callable[P, T]:
    """Give the connection back afterwards: such a thread is not a request's, and nothing else would."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return wrapped


@in_thread_of_its_own
def listener_of(cookies: str, team_slug: str) -> Listener:
    """Who sends these cookies, and whether that person may see the team named `team_slug`."""
    user = _user_of(cookies)
    if not user.is_authenticated:
        return Listener(signed_in=False)
    team_id = Team.objects.for_user(user, "view").filter(slug=team_slug).values_list("pk", flat=True).first()
    return Listener(signed_in=True, team_id=team_id)


def _user_of(cookies: str) -> Any:
    request = HttpRequest()
    # As pages read them: other programs on this host may have set cookies that a stricter reader would stop at.
    session_key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    return get_user(request)


@in_thread_of_its_own
def newest_id() -> int:
    return LiveEvent.objects.aggregate(newest=Max("id"))["newest"] or 0


@in_thread_of_its_own
def events_after(last: int, gaps: list[int]) -> list[Event]:
    """Events above `last`, and those among `gaps` that have been committed since."""
    rows = LiveEvent.objects.filter(Q(id__gt=last) | Q(id__in=gaps)) if gaps else LiveEvent.objects.filter(id__gt=last)
    return [Event(*row) for row in rows.order_by("id").values_list("id", "team_id", "topic", "part")]


@in_thread_of_its_own
def replay(team_id: int, topics: list[str], after: int) -> list[Event] | None:
    """This team's events on these topics since `after`; None when some of that time has been forgotten already."""
    oldest = LiveEvent.objects.aggregate(oldest=Min("id"))["oldest"]
    if oldest is not None and oldest > after + 1:
        return None
    rows = LiveEvent.objects.filter(team_id=team_id, id__gt=after).order_by("id")
    if WHOLE_TEAM not in topics:
        rows = rows.filter(topic__in=topics)
    return [Event(*row) for row in rows.values_list("id", "team_id", "topic", "part")]
