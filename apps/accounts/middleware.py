"""Which team a page is about."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts.models import Team
from apps.core.access import fetch_for_user


def current_team(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """Put the team of `/t/<slug>/…` on the request and switch to its time zone. A stranger gets a 404."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.team = None  # type: ignore[attr-defined]
        try:
            return get_response(request)
        finally:
            timezone.deactivate()

    def process_view(request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if "team" in kwargs and request.user.is_authenticated:
            team = fetch_for_user(Team, request.user, "belong", slug=kwargs["team"])
            request.team = team  # type: ignore[attr-defined]
            timezone.activate(team.time_zone)

    middleware.process_view = process_view  # type: ignore[attr-defined]
    return middleware
