"""Which team a request of the REST API is about."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.request import Request

from apps.accounts.models import Team
from apps.accounts.selectors import teams_of
from apps.core.access import fetch_for_user, require
from apps.core.errors import ApplicationError

HEADER = "LLMOpt-Team"


def team_for(request: Request, action: str = "view") -> Team:
    """The team that the header names, or the caller's only one. Else 400: a caller with several must say which."""
    named = team_named(request)
    if named is None:
        mine = list(teams_of(request.user)[:2])
        if len(mine) != 1:
            raise ApplicationError(
                _("You belong to several teams. Name one in the header LLMOpt-Team.")
                if mine
                else _("You belong to no team."),
                code="team_required",
                field=HEADER,
            )
        named = mine[0]
    require(named, request.user, action)
    return named


def team_named(request: Request) -> Team | None:
    """The team that the header names; NotFound when the caller is not in it."""
    slug = request.headers.get(HEADER)
    # One that is there and empty names nothing: a script whose variable is empty must not act in another team.
    return fetch_for_user(Team, request.user, "belong", slug=slug) if slug is not None else None


def scope(request: Request, path: str = "team") -> dict[str, Any]:
    """A lookup that keeps an object, whose uid names its team too, to the team of the header if there is one."""
    named = team_named(request)
    return {path: named} if named is not None else {}
