"""Up to which event a person has been told what ended: kept in their session, so that no change of page loses it."""

from typing import Any

from django.http import HttpRequest

from apps.workspace.selectors import notices_begin

_KEY = "told_up_to"


def told_up_to(request: HttpRequest, team: Any) -> int:
    """The place in the team's events; a session that has none begins now."""
    places = request.session.get(_KEY, {})
    if team.slug not in places:
        tell_from(request, team, notices_begin(team=team))
    return int(request.session[_KEY][team.slug])


def tell_from(request: HttpRequest, team: Any, place: int) -> None:
    """Remember the place. It only moves on: an old page that asks late must not bring old news back."""
    places = request.session.get(_KEY, {})
    if place > places.get(team.slug, -1):
        request.session[_KEY] = {**places, team.slug: place}
