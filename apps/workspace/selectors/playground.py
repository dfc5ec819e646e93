"""Reads of the playground."""

from typing import Any

from django.db.models import QuerySet

from apps.accounts.models import Team
from apps.core.access import fetch_for_user
from apps.feedback.models import Feedback
from apps.feedback.selectors import feedback
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun


def playground_run(*, user: Any, team: Team, uid: Any, action: str = "view") -> PlaygroundRun:
    return fetch_for_user(PlaygroundRun, user, action, team=team, uid=uid)


def playground_answer(*, user: Any, run: PlaygroundRun, number: int) -> PlaygroundAnswer | None:
    found: PlaygroundAnswer | None = PlaygroundAnswer.objects.for_user(user).filter(run=run, number=number).first()
    return found


def votable(run: PlaygroundRun) -> list[PlaygroundAnswer]:
    """Answers of a run that can be told which is better: those that came whole and were booked."""
    return [answer for answer in run.answers.order_by("number") if answer.generation_uid and not answer.error]


def choices_said(*, user: Any, run: PlaygroundRun) -> QuerySet[Feedback]:
    """What this person has said of pairs of a run's answers."""
    uids = [answer.generation_uid for answer in votable(run) if answer.generation_uid is not None]
    return feedback(user=user, team=run.team).filter(
        kind=Feedback.Kind.CHOICE, person=user, generation__uid__in=uids, other__uid__in=uids
    )


def chosen_number(*, user: Any, run: PlaygroundRun) -> int | None:
    """Which answer of a run this person prefers to every other; None where they have not said so."""
    answers = {answer.generation_uid: answer.number for answer in votable(run) if answer.generation_uid is not None}
    wins: dict[int, int] = {}
    for each in choices_said(user=user, run=run):
        if each.preferred is not None:
            number = answers[each.preferred.uid]
            wins[number] = wins.get(number, 0) + 1
    return next((number for number, won in wins.items() if won == len(answers) - 1), None)
