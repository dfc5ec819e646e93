"""Prompts from a terminal."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import Team, User
from apps.experiments.models import PromptVersion
from apps.experiments.services.prompts import prompt_label_set

pytestmark = pytest.mark.django_db


def said(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def add(path: Path, team: Team, *more: str) -> str:
    return said("prompt_add", str(path), "--team", team.slug, "--name", "From a file", *more)


def test_a_file_of_text_or_json_becomes_a_version_and_is_listed(team: Team, bob: User, tmp_path: Path) -> None:
    assert "no prompt yet" in said("prompt_list", "--team", team.slug)
    text, messages = tmp_path / "prompt.txt", tmp_path / "prompt.json"
    text.write_text("Q: {{ input }}\n", encoding="utf-8")
    content = [{"role": "system", "content": "For {{ country }}."}, {"role": "user", "content": "{{ input }}"}]
    messages.write_text(json.dumps({"messages": content}), encoding="utf-8")

    assert add(text, team, "--note", "first") == "From a file, version 1\n"
    assert add(text, team) == "From a file, version 1\n"
    assert add(messages, team, "--columns", "country, city") == "From a file, version 2\n"

    first, second = PromptVersion.objects.order_by("number")
    assert (first.messages, first.note) == ([{"role": "user", "content": "Q: {{ input }}"}], "first")
    assert second.messages == content
    prompt_label_set(actor=bob, prompt=first.prompt, name="production", version=first)
    listed = said("prompt_list", "--team", team.slug)
    assert listed == "From a file   version 2   labels: production → 1   experiments: 0\n"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", "{{ inptu }}", "Did you mean 'input'"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[1]", "each of them text"),
        ("a.json", '{"messages": [{"role": "system", "content": "x"}]}', "must be the user's"),
        ("a.json", "[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(team: Team, tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError, match=sentence):
        add(path, team)
    assert not PromptVersion.objects.exists()


def test_a_team_or_file_that_does_not_exist_is_named(team: Team, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no team nowhere"):
        said("prompt_list", "--team", "nowhere")
    with pytest.raises(CommandError, match="cannot be read"):
        add(tmp_path / "missing.txt", team)
