"""The definition of a run on a team's own data, in the sections of the quickstart's own."""

from collections.abc import Mapping
from typing import Any

from apps.evaluation.engine.metrics import scoring_for
from apps.experiments.engine.prompts import Demonstration, PromptSpec
from apps.experiments.models import DatasetVersion
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.training.plan import PRESETS, preset_limits, spec_of

# Seed of the order in which examples are visited, and of the bootstrap: any numbers, written down before any score.
ORDER_SEED, BOOTSTRAP_SEED = 7, 20261124
DRAW_SEEDS = (1, 2, 3)
# Of validation, to choose a draw by: enough to tell a good draw from a bad one, and three times this is asked.
SAMPLE = 32
INPUT = "{{ input }}"


def plan_definition(
    *, version: DatasetVersion, base_model: LanguageModel | None, values: Mapping[str, Any]
) -> dict[str, Any]:
    """What a run is told, in the sections of the quickstart's own definition."""
    prompts: dict[str, Any] = {}
    instruction = str(values["instruction"]).strip()
    if values["plain"]:
        prompts["plain"] = {"system": instruction, "user": INPUT}
    if values["few_shot"]:
        prompts["few_shot"] = {
            **({"system": instruction} if instruction else {}),
            "user": INPUT,
            "k": values["shown"],
            "draw_seeds": list(DRAW_SEEDS),
            "sample": min(SAMPLE, version.validation_count),
        }
    definition = {
        "dataset": {"version": str(version.uid)},
        "prompt_name": values["name"],
        "experiment": {
            "name": values["name"],
            "question": values["question"],
            "metrics": list(values.get("metrics") or scoring_for(version.answer).metrics),
            "primary_metric": values["primary_metric"],
            "margin": values["margin"],
            "alpha": values["alpha"],
            "budget_nanousd": values["budget_nanousd"],
            "bootstrap_seed": BOOTSTRAP_SEED,
            "order_seed": ORDER_SEED,
        },
        "model": {"uid": str(base_model.uid)} if base_model is not None else {},
        "generation": {"max_tokens": values["max_tokens"], "temperature": 0.0},
        "baselines": list(values["baselines"]),
        "prompts": prompts,
    }
    if values.get("commercial"):
        definition["commercial"] = {
            "prompt": {**({"system": instruction} if instruction else {}), "user": INPUT},
        }
    if values["tune"] and base_model is not None:
        preset = PRESETS[values["preset"]]
        prompts["tuned"] = tuned_prompt(str(values["name"]))
        definition["training"] = spec_of("lora", preset, base_model)
        definition["training_limits"] = preset_limits(preset, train_count=version.train_count)
    return definition


def tuned_prompt(name: str) -> dict[str, str]:
    """Short: what a long prompt explains is learned, and a short one costs less in every call."""
    return {"system": f"{name}.", "user": INPUT}


def prompt_spec_of(text: Mapping[str, Any], demonstrations: tuple[Demonstration, ...] = ()) -> PromptSpec:
    """A prompt of a definition as the spec of a version."""
    system = [Message(role="system", content=text["system"].strip())] if "system" in text else []
    return PromptSpec(messages=(*system, Message(role="user", content=text["user"])), demonstrations=demonstrations)
