"""Training on from everything that a team can have: an imported base, an imported adapter, a version of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team
from apps.core.artifacts import local_folder
from apps.core.tests.factories import LanguageModelFactory
from apps.providers.models import LanguageModel
from apps.providers.tests.test_importing import build_adapter, gpt2, llama, taken
from apps.training.inputs import base_folder, tokenizer_of
from apps.training.tests.tiny_models import in_process, run_engine, write_run

__all__ = ["gpt2", "llama"]

QUICK: dict[str, Any] = {
    "train": 8, "validation": 3, "final_evaluate_rows": 2, "certify_rows": 1, "max_new_tokens": 4,
    "checkpoint_every_steps": 100,
}  # fmt: skip


def registered(team: Team, name: str, result: Path) -> LanguageModel:
    """What an import or a training leaves, as a ready model of the team."""
    shutil.copytree(result, local_folder(f"models/{name}"))
    return LanguageModelFactory.create(team=team, served_name=name, artifact=f"models/{name}", revision=name)


def trained_from(model: LanguageModel, run_dir: Path, **spec: Any) -> Path:
    """The result folder of a real training from a model, with the certificate that it must have passed."""
    write_run(run_dir, base_folder(model), **{**QUICK, **spec})
    assert in_process(run_engine, run_dir) == 0, (run_dir / "events.jsonl").read_text()[-2000:]
    certificate = json.loads((run_dir / "result" / "certificate.json").read_text())
    assert (certificate["passed"], certificate["problems"]) == (True, [])
    return run_dir / "result"


@pytest.mark.slow
@pytest.mark.django_db
def test_an_imported_base_is_trained_and_its_version_trained_further_in_full(
    team: Team, gpt2: Path, tmp_path: Path
) -> None:
    """A GPT-2 folder as its repository has it: no chat template and no end token by name before the import."""
    assert taken(tmp_path / "import", gpt2)["exit"] == 0
    base = registered(team, "imported", tmp_path / "import" / "result")
    assert base_folder(base).name == "hf"
    first = registered(team, "first", trained_from(base, tmp_path / "first"))
    assert base_folder(first).name == "merged"
    assert tokenizer_of(first).template == tokenizer_of(base).template
    second = trained_from(first, tmp_path / "second", method="full")
    assert {"merged", "ct2"} <= {path.name for path in second.iterdir()}


@pytest.mark.slow
@pytest.mark.django_db
def test_an_imported_adapter_is_trained_further_on_the_model_that_it_makes(
    team: Team, llama: Path, tmp_path: Path
) -> None:
    adapter = build_adapter(llama, tmp_path / "adapter")
    assert taken(tmp_path / "import", adapter, base=str(llama))["exit"] == 0
    model = registered(team, "adapter", tmp_path / "import" / "result")
    assert base_folder(model).name == "merged"
    result = trained_from(model, tmp_path / "further")
    config = json.loads((result / "adapter" / "adapter_config.json").read_text())
    # On the merged model, not on the base of the adapter: opened on that, it would give other answers.
    assert config["base_model_name_or_path"] == "merged"
