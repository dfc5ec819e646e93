"""Which steps a run walks, and in what order."""

from typing import Any

from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.bringing import base_fetch
from apps.workspace.quickstart.page_made import page_made_steps
from apps.workspace.quickstart.steps import STEPS, Step


def steps_of(run: ExperimentRun) -> tuple[Step, ...]:
    """Those of the experiment that was put together on its page, or those that the definition asks for."""
    if "experiment_uid" in run.definition:
        return page_made_steps(run)
    left_out = _left_out(run.definition) | (frozenset() if base_fetch(run) is not None else {"model"})
    return tuple(step for step in STEPS if step.name not in left_out)


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
