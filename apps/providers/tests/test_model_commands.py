"""Models from the command line."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import Team, User
from apps.core.tests.factories import LanguageModelFactory
from apps.providers.models import LanguageModel
from apps.providers.tests.test_importing import llama

__all__ = ["llama"]

pytestmark = pytest.mark.django_db(transaction=True)


def said(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def test_the_list_names_what_the_team_has_and_what_it_can_add(team: Team) -> None:
    LanguageModelFactory.create(team=team, name="Ours")
    lines = said("model_list", team=team.slug).splitlines()
    assert lines[0].startswith("Ours\tready\tRuns here")
    assert [line for line in lines if line.startswith("GPT-2 XL\tNot on this machine: Download about 6.4")]


def test_a_folder_is_added_and_its_state_printed(
    team: Team, alice: User, llama: Path, settings: Any, tmp_path: Path
) -> None:
    settings.VAR_DIR, settings.MODEL_FOLDERS, settings.TRAINING_THREADS = tmp_path / "var", [], 1
    text = said("model_add", str(llama), team=team.slug, name="Tiny")
    model = LanguageModel.objects.get()
    assert (model.name, model.state) == ("Tiny", "ready")
    assert text.strip() == f"Tiny is ready: served as {model.served_name} by ctranslate2."


def test_what_is_no_model_fails_with_the_sentence(team: Team, alice: User, settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR, settings.MODEL_FOLDERS = tmp_path / "var", []
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandError, match=r"There is no config\.json"):
        said("model_add", str(tmp_path / "empty"), team=team.slug)
    with pytest.raises(CommandError, match="no team nobody"):
        said("model_list", team="nobody")
    with pytest.raises(CommandError, match="served as nothing"):
        said("model_add", str(tmp_path / "empty"), team=team.slug, base="nothing")
