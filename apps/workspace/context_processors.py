"""What the frame of every page shows: team, navigation, running jobs, money."""

from typing import Any

from django.http import HttpRequest

from apps.workspace.selectors import shell_facts


def shell(request: HttpRequest) -> dict[str, Any]:
    team = getattr(request, "team", None)
    if team is None or not request.user.is_authenticated:
        return {"team": None}
    return {"team": team, **shell_facts(user=request.user, team=team)}
