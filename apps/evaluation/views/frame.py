"""What every page of an experiment shares: where it is, its tabs, its live topic."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.core.live import topic_of
from apps.evaluation.selectors import shown_states
from apps.experiments import selectors
from apps.experiments.models import Experiment


def fetch(request: HttpRequest, team: Team, uid: Any) -> Experiment:
    return selectors.experiment(user=request.user, team=team, uid=uid)


def frame(team: Team, experiment: Experiment, tab: str) -> dict[str, Any]:
    """Crumbs, tabs and the address of live events. `live` is False once nothing can change any more."""
    tabs = (
        ("experiment", _("Answer")),
        ("experiment_candidates", _("Candidates")),
        ("experiment_outputs", _("Outputs")),
        ("experiment_cost", _("Cost")),
        ("experiment_setup", _("Setup")),
        ("experiment_report", _("Report")),
        ("experiment_notes", _("Notes")),
    )
    return {
        "experiment": experiment,
        "shown_state": shown_states([experiment])[experiment.pk],
        "live": experiment.is_open,
        "crumbs": [{"label": _("Experiments"), "url": reverse("experiments", args=[team.slug])}],
        "tabs": [
            {"label": label, "url": reverse(name, args=[team.slug, experiment.uid]), "current": name == tab}
            for name, label in tabs
        ],
        "topic_url": f"{reverse('home', args=[team.slug])}events/?topic={topic_of(experiment)}",
    }
