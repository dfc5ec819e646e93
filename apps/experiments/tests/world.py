"""A small dataset and an experiment on it, made through the services, for tests of everything that builds on them."""

import json
from typing import Any

from apps.accounts.models import Team, User
from apps.core.tests.factories import LanguageModelFactory
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import Candidate, DatasetVersion, Experiment, PromptVersion
from apps.experiments.services.baselines import NAMES, baseline_model
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.experiments import experiment_create
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.messages import Message

STREETS = ("Elm", "Oak", "Lake", "Hill", "Mill", "Park", "Pine", "River", "Sunset", "Walnut")
PARAMETERS = {"max_tokens": 16, "temperature": 0.0}


def pairs(count: int = 60) -> list[tuple[str, str]]:
    """`count` addresses that are different enough to be groups of their own."""
    made = []
    for number in range(count):
        street, city, code = f"{STREETS[number % 10]}{number}", f"Town{number * 7919 % 1000}", f"{10000 + number * 631}"
        text = f"{number * 37 + 1} {street} Street, {city} {code}"
        made.append(
            (text, json.dumps({"street": f"{street} Street", "city": city, "zip": code}, separators=(",", ":")))
        )
    return made


def version_of(team: Team, actor: User, *, count: int = 60, name: str = "Made up", seed: int = 7) -> DatasetVersion:
    dataset = dataset_create(actor=actor, team=team, name=name, split_seed=seed)
    answer = {"format": "json", "fields": ["street", "city", "zip"]}
    return dataset_version_create(actor=actor, dataset=dataset, pairs=pairs(count), answer=answer)


def experiment_of(version: DatasetVersion, actor: User, **changes: Any) -> Experiment:
    """A draft without candidates."""
    definition: dict[str, Any] = {
        "name": "Which one",
        "question": "Which one?",
        "metrics": ["field_f1", "exact_match", "valid_rate"],
        "primary_metric": "field_f1",
        "margin": 0.05,
        "alpha": 0.05,
        "bootstrap_seed": 5,
    }
    return experiment_create(
        actor=actor, team=version.dataset.team, dataset_version=version, **{**definition, **changes}
    )


def add_baseline(experiment: Experiment, actor: User, method: str, *, trial: bool = False) -> Candidate:
    model = baseline_model(actor=actor, team=experiment.team, dataset_version=experiment.dataset_version, method=method)
    return candidate_add(
        actor=actor,
        experiment=experiment,
        name=NAMES[method] + (", trial" if trial else ""),
        kind="baseline",
        language_model=model,
        prompt_version=None,
        parameters=PARAMETERS,
        trial=trial,
    )


def add_prompted(experiment: Experiment, actor: User, name: str = "Prompted", **changes: Any) -> Candidate:
    """A candidate of a local model that nothing serves."""
    values: dict[str, Any] = {
        "kind": "prompted",
        "language_model": changes.pop("language_model", None) or LanguageModelFactory.create(team=experiment.team),
        "prompt_version": changes.pop("prompt_version", None) or prompt_of(experiment.team, actor),
        "parameters": PARAMETERS,
    }
    return candidate_add(actor=actor, experiment=experiment, name=name, **{**values, **changes})


def prompt_of(team: Team, actor: User, text: str = "{{ input }}") -> PromptVersion:
    return prompt_version_create(
        actor=actor, team=team, name="Plain", spec=PromptSpec(messages=(Message("user", text),))
    )
