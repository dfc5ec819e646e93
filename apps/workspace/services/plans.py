"""A whole experiment on a team's own data, from one form: the same job as the quickstart's, with other contents."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.access import require
from apps.core.errors import ApplicationError, translated
from apps.experiments.engine.prompts import check_template, known_variables
from apps.experiments.models import DatasetVersion
from apps.experiments.services.experiments import definition_check
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.plan import plan_definition
from apps.workspace.quickstart.service import experiment_run_start
from apps.workspace.services.chosen_models import models_use


def plan_start(
    *,
    actor: Any,
    version: DatasetVersion,
    base: str,
    values: Mapping[str, Any],
) -> ExperimentRun:
    """Start what the form describes. The same plan again goes on with the run that it made.

    `base` as in models_use, empty for none: one that is not ready is brought in, and the run waits for it.
    """
    team = version.dataset.team
    require(version, actor, "edit")
    if not version.test_count:
        raise ApplicationError(_("This dataset version has no test rows, so there is nothing to test on. Add rows."))
    _check_instruction(version, str(values["instruction"]))
    with transaction.atomic():
        # Nothing is brought in that no candidate asks.
        asked = [base] if base and any(values[name] for name in ("plain", "few_shot", "tune")) else []
        model = next(iter(models_use(actor=actor, team=team, values=asked)), None)
        definition = plan_definition(version=version, base_model=model, values=values)
        # Said now, and not by the job in its first second.
        definition_check(definition["experiment"])
        return experiment_run_start(actor=actor, team=team, definition=definition)


def _check_instruction(version: DatasetVersion, instruction: str) -> None:
    """An instruction is a template: what cannot be read in it would fail the run later."""
    problems = check_template(instruction, known_variables(version.columns))
    if problems:
        raise ApplicationError(
            " ".join(
                _("Line %(line)d: %(problem)s") % {"line": problem.line, "problem": translated(problem.sentence)}
                for problem in problems
            ),
            code="prompt_invalid",
            field="instruction",
        )
