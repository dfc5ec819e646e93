"""The page of a model says where its files are and how they are opened."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.tests.factories import LanguageModelFactory
from apps.providers.models import LanguageModel
from apps.providers.selectors import model_files

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(team: Team, artifact_folder: Path) -> LanguageModel:
    """A model with an adapter, whose base is here too."""
    for folder in ("models/base/hf", "models/base/ct2", "models/trained/adapter", "models/trained/merged"):
        (artifact_folder / folder).mkdir(parents=True)
    LanguageModelFactory.create(team=team, revision="b", artifact="models/base")
    model: LanguageModel = LanguageModelFactory.create(
        team=team, kind="trained", revision="t", artifact="models/trained", facts={"base_revision": "b"}
    )
    return model


def test_a_trained_model_is_opened_as_adapter_on_its_base(
    trained: LanguageModel, team: Team, alice: User, client: Client, artifact_folder: Path
) -> None:
    client.force_login(alice)

    text = client.get(reverse("model", args=[team.slug, trained.uid])).content.decode()

    assert str(artifact_folder / "models" / "trained" / "adapter") in text
    assert str(artifact_folder / "models" / "trained" / "ct2") not in text
    assert f"from_pretrained(&quot;{artifact_folder}/models/base/hf&quot;)" in text
    assert f"from_pretrained(base, &quot;{artifact_folder}/models/trained/adapter&quot;)" in text


def test_without_its_base_a_trained_model_is_opened_whole(trained: LanguageModel, artifact_folder: Path) -> None:
    trained.facts = {}

    files = model_files(trained)

    assert [folder.holds for folder in files.folders] == ["PEFT adapter", "Base and adapter in one, safetensors"]
    assert f'AutoModelForCausalLM.from_pretrained("{artifact_folder}/models/trained/merged")' in files.code


def test_a_base_of_another_team_is_not_named(trained: LanguageModel, other_team: Team) -> None:
    LanguageModel.objects.filter(revision="b").update(team=other_team)

    assert "models/base" not in model_files(trained).code


def test_a_path_inside_the_installation_is_shown_as_it_is_typed_there(
    trained: LanguageModel, artifact_folder: Path, settings: Any
) -> None:
    settings.BASE_DIR = artifact_folder.parent

    assert model_files(trained).folders[0].path == "artifacts/models/trained/adapter"


@pytest.mark.parametrize("artifact", ["", "baselines/most-frequent.json"])
def test_a_model_without_folders_shows_none(artifact: str, team: Team, alice: User, client: Client) -> None:
    model = LanguageModelFactory.create(team=team, artifact=artifact)
    client.force_login(alice)

    assert model_files(model).folders == []
    assert "Files" not in client.get(reverse("model", args=[team.slug, model.uid])).content.decode()
