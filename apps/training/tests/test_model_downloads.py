"""What is downloaded opens with plain peft and transformers and gives the same logits; the card says what it is."""

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.artifacts import local_folder
from apps.core.tests.factories import (
    CandidateFactory,
    LanguageModelFactory,
    ModelVersionFactory,
    TrainingRunFactory,
)
from apps.evaluation.models import Leaderboard
from apps.providers.engine.importing.serving import merge_adapter
from apps.providers.models import LanguageModel
from apps.providers.tests.test_importing import build_adapter, llama

__all__ = ["llama"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trained(team: Team, llama: Path) -> LanguageModel:
    """A registered version with a real adapter and the merged model."""
    base = LanguageModelFactory.create(
        team=team, name="tiny-llama", revision="b", facts={"source": {"licence": "Apache-2.0"}}
    )
    run = TrainingRunFactory.create(team=team, base_model=base)
    model: LanguageModel = run.language_model
    model.name, model.state, model.artifact, model.revision = "Our model", "ready", "models/ours", "r1"
    model.facts = {"base_model": "tiny-llama", "base_revision": "b", "prompt": run.prompt_version.content_hash}
    model.save()
    folder = local_folder("models/ours")
    folder.mkdir(parents=True)
    build_adapter(llama, folder / "adapter")
    merge_adapter(llama, folder / "adapter", folder / "merged")
    ModelVersionFactory.create(run=run, number=3)
    return model


def downloaded(user: User, url: str, folder: Path) -> Path:
    """The folder that somebody gets who opens the address, as the product's server sends it."""

    async def fetch() -> bytes:
        client = AsyncClient()
        await client.aforce_login(user)
        response: Any = await client.get(url)
        assert response.status_code == 200
        assert response.is_async
        return b"".join([part async for part in response.streaming_content])

    with zipfile.ZipFile(io.BytesIO(asyncio.run(fetch()))) as packed:
        packed.extractall(folder)
    (inside,) = folder.iterdir()
    return inside


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(torch.arange(3, 40).unsqueeze(0)).logits


def test_both_downloads_open_with_plain_libraries_and_give_the_same_logits(
    trained: LanguageModel, team: Team, vera: User, llama: Path, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stored = local_folder("models/ours")
    here = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(str(llama)), str(stored / "adapter"))
    expected = logits(here)
    args = [team.slug, trained.uid]
    adapter = downloaded(vera, reverse("model_adapter", args=args), tmp_path / "a")
    opened = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(str(llama)), str(adapter))
    assert torch.equal(logits(opened), expected)
    merged = downloaded(vera, reverse("model_merged", args=args), tmp_path / "m")
    assert torch.allclose(logits(AutoModelForCausalLM.from_pretrained(str(merged))), expected, atol=1e-5)
    assert AutoTokenizer.from_pretrained(str(merged)).chat_template
    plain = logits(AutoModelForCausalLM.from_pretrained(str(llama)))
    assert not torch.allclose(plain, expected, atol=1e-2)


def test_the_card_names_base_data_prompt_licence_and_what_was_measured(
    trained: LanguageModel, team: Team, vera: User, tmp_path: Path
) -> None:
    candidate = CandidateFactory.create(experiment__team=team, language_model=trained, name="Tuned")
    figure = {"value": 0.7481, "low": 0.71, "high": 0.78, "n": 223, "method": "bootstrap"}
    document = {"candidates": [{"name": "Tuned", "metrics": {"field_f1": figure}}]}
    Leaderboard.objects.create(experiment=candidate.experiment, document=document)
    folder = downloaded(vera, reverse("model_adapter", args=[team.slug, trained.uid]), tmp_path / "a")
    card = (folder / "README.md").read_text(encoding="utf-8")
    version = trained.version
    for said in (
        'base_model: "tiny-llama"',
        'license: "apache-2.0"',
        version.run.dataset_version.content_hash,
        "{{ input }}",
        "| field_f1 | 0.748 | 0.710 to 0.780 | 223 |",
        "PeftModel.from_pretrained",
        "version 3",
    ):
        assert said in card, said
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= names


def test_another_teams_model_and_one_without_files_are_not_found(
    trained: LanguageModel, team: Team, bob: User, charlie: User, other_team: Team, client: Client
) -> None:
    client.force_login(charlie)
    assert client.get(reverse("model_adapter", args=[other_team.slug, trained.uid])).status_code == 404
    client.force_login(bob)
    bare = LanguageModelFactory.create(team=team)
    assert client.get(reverse("model_merged", args=[team.slug, bare.uid])).status_code == 404


def test_the_page_shows_lineage_certificate_and_what_uses_it(
    trained: LanguageModel, team: Team, vera: User, client: Client
) -> None:
    version = trained.version
    version.certificate = {
        "forms": ["trained", "reloaded", "merged", "converted"], "passed": True, "tolerance": 0.002, "problems": [],
        "largest_difference": 0.000021, "stop_token": "<|im_end|>", "stop_id": 2,
        "examples": [{
            "id": "abc", "trained_tokens": 12, "largest_difference": 0.000021,
            "log_probability": {"trained": -1.25, "reloaded": -1.25, "merged": -1.2501, "converted": -1.2502},
        }],
    }  # fmt: skip
    version.lineage = {"phase_seconds": {"train": 60.0, "merge": 2.0}}
    version.save()
    CandidateFactory.create(experiment__team=team, experiment__name="Which?", language_model=trained, name="Tuned")
    client.force_login(vera)
    text = client.get(reverse("model", args=[team.slug, trained.uid])).content.decode()
    for said in (
        version.run.dataset_version.content_hash[:16], "-1.2502".replace("-", "\u2212"), "0.000021", "allowed 0.0020",
        "&lt;|im_end|&gt;", "Which?: Tuned", "Download adapter", "equal in training and in every served form",
    ):  # fmt: skip
        assert said in text, said
    assert "Ask the model" not in text
