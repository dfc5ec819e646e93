"""What happened to an experiment, in words."""

from typing import Any

from apps.core.models import AuditEvent
from apps.experiments.models import Experiment
from apps.workspace.selectors.home import Activity, activities

SHOWN = 100


def experiment_activity(*, user: Any, experiment: Experiment) -> list[Activity]:
    """Events of the experiment, its candidates, its evaluations and its run, newest first."""
    uids = [
        experiment.uid,
        *experiment.candidates.values_list("uid", flat=True),
        *experiment.evaluations.values_list("uid", flat=True),
    ]
    events = AuditEvent.objects.for_user(user, "view").filter(team=experiment.team_id, object_uid__in=uids)
    return activities(events, limit=SHOWN)
