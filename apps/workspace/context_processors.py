"""What the frame of every page shows: team, navigation, running jobs, money."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from apps.workspace.selectors import shell_facts
from apps.workspace.told import told_up_to


def shell(request: HttpRequest) -> dict[str, Any]:
    """`team` and `shell`; nothing of it for somebody who is not signed in."""
    team = getattr(request, "team", None)
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.path.startswith("/admin/"):
        return {"team": None}
    # A part of a page, which is fetched every few seconds, has no frame: it must not pay for one.
    facts = SimpleLazyObject(
        lambda: shell_facts(user=user, team=team, path=request.path, since=lambda: told_up_to(request, team))
    )
    return {"team": team, "shell": facts}
