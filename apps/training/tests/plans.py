"""A team that can train: a random model of a few hundred kB, a dataset with splits, a prompt."""

import json
from typing import Any

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.artifacts import local_folder
from apps.core.tests.factories import LanguageModelFactory
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.training.models import Preflight
from apps.training.plan import PRESETS, Planned, spec_of
from apps.training.preflight_host import preflight_run
from apps.training.services.preflights import preflight_request
from apps.training.tests.tiny_models import STREETS, build_model

# What makes a run of a tiny model short.
SHORT = {"certify_rows": 2, "evaluate_rows": 4, "final_evaluate_rows": 4, "max_new_tokens": 8, "threads": 1}


def pairs(count: int) -> list[tuple[str, str]]:
    """Inputs that are no near-duplicates of each other, so that each is in a group of its own."""
    found = []
    for number in range(count):
        words = f"{number * 7919 % 9973} {STREETS[number % len(STREETS)]} {chr(97 + number % 26) * 3}{number:03d}"
        found.append((words, json.dumps({"number": str(number)})))
    return found


def tiny_base(team: Team, *, name: str = "tiny", positions: int = 256) -> LanguageModel:
    artifact = f"models/{name}"
    folder = local_folder(artifact) / "hf"
    folder.mkdir(parents=True)
    build_model(folder, "llama", positions=positions)
    made: LanguageModel = LanguageModelFactory.create(
        team=team, name="Tiny", served_name=name, artifact=artifact, context_length=positions
    )
    return made


def version_with(team: Team, actor: User, rows: list[tuple[str, str]], name: str = "Addresses") -> DatasetVersion:
    dataset = dataset_create(actor=actor, team=team, name=name, split_seed=1)
    return dataset_version_create(actor=actor, dataset=dataset, pairs=rows)


def prompt_for(team: Team, actor: User, *messages: Message, name: str = "Split") -> PromptVersion:
    spec = PromptSpec(messages=messages or (Message(role="user", content="{{ input }}"),))
    return prompt_version_create(actor=actor, team=team, name=name, spec=spec)


def plan_for(
    team: Team, actor: User, base: LanguageModel, *, rows: int = 60, limits: dict[str, Any] | None = None, **spec: Any
) -> Planned:
    version = version_with(team, actor, pairs(rows), name=f"Addresses {rows}")
    method = spec.pop("method", "lora")
    fields = {**spec_of(method, PRESETS["quick"], base), **SHORT, **spec}
    return Planned(base, version, prompt_for(team, actor), fields, limits or {})


def measured(team: Team, actor: User, plan: Planned) -> Preflight:
    """Ask, and do what worker and host would."""
    row = preflight_request(actor=actor, team=team, plan=plan)
    claimed = jobs.claim(Preflight, row.pk)
    assert claimed is not None
    assert preflight_run(claimed.pk, attempt=claimed.attempt, claim=claimed.claim) in (0, 1)
    row.refresh_from_db()
    return row


def codes(row: Preflight) -> list[str]:
    return [refusal["code"] for refusal in row.result["refusals"]]


def tamper(version: DatasetVersion, change: Any) -> None:
    """Write other rows into the version's file, as somebody with the disk could, and make the hash agree."""
    from apps.experiments.engine.rows import content_hash, from_parquet, to_parquet

    file = local_folder(version.artifact)
    rows = change(list(from_parquet(file.read_bytes())))
    file.chmod(0o644)
    file.write_bytes(to_parquet(rows))
    version.content_hash = content_hash(rows)
    version.save(update_fields=["content_hash"])
