"""A whole experiment on a team's own data, from one form: the same job as the quickstart's, with other contents."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from apps.core.access import require
from apps.core.errors import ApplicationError
from apps.experiments.models import DatasetVersion
from apps.providers.models import LanguageModel
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.plan import plan_definition
from apps.workspace.quickstart.service import experiment_run_start


def plan_start(
    *,
    actor: Any,
    version: DatasetVersion,
    base_model: LanguageModel | None,
    values: Mapping[str, Any],
) -> ExperimentRun:
    """Start what the form describes. The same plan again goes on with the run that it made."""
    team = version.dataset.team
    require(version, actor, "edit")
    if base_model is not None and base_model.owning_team_id != team.pk:
        raise ApplicationError(_("The model must belong to the dataset's team."), field="base_model")
    definition = plan_definition(version=version, base_model=base_model, values=values)
    return experiment_run_start(actor=actor, team=team, definition=definition)
