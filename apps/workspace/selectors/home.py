"""What the home page of a team shows."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.accounts.models import Team
from apps.core.models import AuditEvent
from apps.experiments.models import Experiment
from apps.workspace.selectors.jobs import JobRow, jobs_at_hand
from apps.workspace.verbs import activity_text

CONCLUSIONS = 5
ACTIVITIES = 12


@dataclass(frozen=True)
class Activity:
    """One audit event in words."""

    at: Any
    actor: str
    text: str


@dataclass(frozen=True)
class HomeFacts:
    jobs: list[JobRow]
    conclusions: list[Experiment]
    activity: list[Activity]
    has_experiments: bool


def home_facts(*, user: Any, team: Team, role: str | None) -> HomeFacts:
    """What runs or has failed, the latest conclusions and what happened last."""
    experiments = Experiment.objects.for_user(user, "view").filter(team=team)
    concluded = experiments.exclude(conclusion_text="").order_by("-finished_at", "-id")[:CONCLUSIONS]
    # A key that is used every hour from many machines would leave room for nothing else.
    events = AuditEvent.objects.for_user(user, "view").filter(team=team).exclude(verb="api_key.used")
    conclusions = list(concluded)
    return HomeFacts(
        jobs=jobs_at_hand(user=user, team=team, role=role),
        conclusions=conclusions,
        activity=activities(events, limit=ACTIVITIES),
        has_experiments=bool(conclusions) or experiments.exists(),
    )


def activities(events: QuerySet[AuditEvent], *, limit: int) -> list[Activity]:
    """The newest events in words."""
    newest = events.select_related("actor").order_by("-id")[:limit]
    return [
        Activity(at=event.created_at, actor=_who(event), text=activity_text(event.verb, event.facts))
        for event in newest
    ]


def _who(event: AuditEvent) -> str:
    return str(event.actor) if event.actor is not None else ""
