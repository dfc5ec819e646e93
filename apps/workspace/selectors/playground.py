"""Reads of the playground."""

from typing import Any

from apps.accounts.models import Team
from apps.core.access import fetch_for_user
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun


def playground_run(*, user: Any, team: Team, uid: Any, action: str = "view") -> PlaygroundRun:
    return fetch_for_user(PlaygroundRun, user, action, team=team, uid=uid)


def playground_answer(*, user: Any, run: PlaygroundRun, number: int) -> PlaygroundAnswer | None:
    found: PlaygroundAnswer | None = PlaygroundAnswer.objects.for_user(user).filter(run=run, number=number).first()
    return found
