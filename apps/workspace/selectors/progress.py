"""Where the quickstart of an experiment stands, for the strip that the experiment's page loads."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.core.formats import count_text
from apps.core.job_actions import JobPart, job_part
from apps.experiments.models import Experiment
from apps.experiments.selectors import experiment as experiment_for
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.progress import StepProgress, progress_of

_SHOWN_STATE = {"done": "succeeded"}


@dataclass(frozen=True)
class ProgressFacts:
    """The steps as `c-stages` takes them, the one at work, and the job with what may be pressed."""

    experiment: Experiment
    row: JobPart | None
    stages: list[dict[str, Any]]
    current: StepProgress | None


def progress_facts(*, user: Any, team: Team, role: str | None, uid: Any) -> ProgressFacts:
    """Progress of the quickstart that made an experiment; `row` is None for one that was made otherwise."""
    experiment = experiment_for(user=user, team=team, uid=uid)
    quickstart = (
        ExperimentRun.objects.for_user(user)
        .filter(team=team, experiment=experiment)
        .select_related("experiment", "training_run")
        .first()
    )
    if quickstart is None:
        return ProgressFacts(experiment, None, [], None)
    steps = progress_of(quickstart)
    current = next((step for step in steps if step.under_way), None)
    return ProgressFacts(
        experiment=experiment,
        row=job_part(quickstart, role=role),
        stages=[_stage(step, quickstart, team) for step in steps],
        current=current,
    )


def _stage(step: StepProgress, quickstart: ExperimentRun, team: Team) -> dict[str, Any]:
    url = ""
    if step.name == "train" and quickstart.training_run is not None:
        url = reverse("training_run", args=[team.slug, quickstart.training_run.uid])
    detail = step.detail if step.under_way and step.name.split(":")[0] == "model" else ""
    if step.total and step.under_way:
        detail = _("%(done)s of %(total)s") % {"done": count_text(step.done), "total": count_text(step.total)}
    return {
        "label": step.label,
        "state": _SHOWN_STATE.get(step.state, step.state),
        "seconds": step.seconds,
        "detail": detail,
        "url": url,
    }
