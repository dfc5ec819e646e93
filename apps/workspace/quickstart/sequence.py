"""Which steps a run walks, and in what order."""

from typing import Any

from apps.experiments.models import Experiment
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.bringing import base_fetch
from apps.workspace.quickstart.commercial import models_within_reach
from apps.workspace.quickstart.page_made import page_made_steps
from apps.workspace.quickstart.steps import STEPS, Step


def steps_of(run: ExperimentRun) -> tuple[Step, ...]:
    """Those of the experiment that was put together on its page, or those that the definition asks for."""
    if "experiment_uid" in run.definition:
        return page_made_steps(run)
    left_out = set(_left_out(run.definition))
    if base_fetch(run) is None:
        left_out.add("model")
    if not _goes_to_a_provider(run):
        left_out.add("commercial")
    return tuple(step for step in STEPS if step.name not in left_out)


def _goes_to_a_provider(run: ExperimentRun) -> bool:
    """What was registered; before that, what would be now."""
    if "commercial" not in run.definition:
        return False
    if run.experiment is not None and run.experiment.state != Experiment.State.DRAFT:
        return bool(run.experiment.candidates.filter(kind="commercial", trial=False).exists())
    return bool(models_within_reach(user=run.actor, team=run.team))


def _left_out(definition: dict[str, Any]) -> frozenset[str]:
    prompts = definition["prompts"]
    return frozenset(
        [
            *([] if "few_shot" in prompts else ["choose", "few_shot"]),
            *([] if "plain" in prompts else ["plain"]),
            *([] if "training" in definition else ["train", "tuned"]),
            *([] if definition.get("baselines", True) else ["baselines"]),
        ]
    )
