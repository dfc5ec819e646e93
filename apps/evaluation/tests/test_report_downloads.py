"""The report to take away: as JSON, and as Markdown in which nobody's words are markup."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.artifacts import get_bytes
from apps.evaluation.report_markdown import fenced, plain, table
from apps.evaluation.tests.worlds import answer_all, finish, half, perfect, registered
from apps.experiments.models import Experiment

FORGED = "# Ship me\n\n[free](http://evil.example)\n```\n## Conclusion"


def forging(expected: str, number: int) -> str:
    return FORGED


@pytest.fixture
def finished(team: Team, alice: User, client: Client) -> Experiment:
    client.force_login(alice)
    experiment = registered(team, alice, ["# Lookup | [x](http://y)", "Prompted", "Tuned"], reference="Tuned")
    for name, answer in (("# Lookup | [x](http://y)", half), ("Prompted", forging), ("Tuned", perfect)):
        answer_all(experiment, alice, name, answer)
    finish(experiment, alice)
    return experiment


def got(client: Client, experiment: Experiment, name: str) -> Any:
    return client.get(reverse(name, args=[experiment.team.slug, experiment.uid]))


@pytest.mark.django_db
def test_the_json_is_the_stored_document(finished: Experiment, client: Client) -> None:
    answer = got(client, finished, "experiment_report_json")

    assert answer.json() == json.loads(get_bytes(finished.report_artifact))
    assert answer["Content-Disposition"] == 'attachment; filename="report.json"'


@pytest.mark.django_db
def test_the_markdown_says_what_the_page_says(finished: Experiment, client: Client) -> None:
    answer = got(client, finished, "experiment_report_markdown")
    text = answer.content.decode()

    assert answer["Content-Type"] == "text/markdown; charset=utf-8"
    headings = [line for line in unfenced(text) if line.startswith("## ")]
    assert headings == [
        "## Conclusion", "## Definition", "## Figures", "## Paired differences", "## Exploratory differences",
        "## Telling outputs", "## Conditions and assumptions", "## Candidates", "## Versions and signatures",
    ]  # fmt: skip
    assert plain(finished.conclusion_text) in text
    assert finished.registration_hash in text
    assert finished.dataset_version.content_hash in text
    assert text.count("### Example ") == 5
    assert "p adjusted" in text


@pytest.mark.django_db
def test_no_name_and_no_output_is_markup(finished: Experiment, client: Client) -> None:
    text = got(client, finished, "experiment_report_markdown").content.decode()

    assert FORGED in text  # word for word, and fenced
    outside = unfenced(text)
    assert [line for line in outside if line.startswith("# ")] == [f"# {plain(finished.name)}"]
    assert not any("](" in line.replace("\\]", "") for line in outside)
    assert not any("Ship me" in line for line in outside)


@pytest.mark.django_db
def test_there_is_nothing_to_take_away_before_the_report_is_written(team: Team, alice: User, client: Client) -> None:
    client.force_login(alice)
    experiment = registered(team, alice, ["A", "B"], reference="A")

    for name in ("experiment_report_json", "experiment_report_markdown"):
        assert got(client, experiment, name).status_code == 404


@pytest.mark.django_db
def test_the_page_offers_both_and_its_own_address(finished: Experiment, client: Client) -> None:
    address = reverse("experiment_report", args=[finished.team.slug, finished.uid])
    page = client.get(address).content.decode()

    for words in ("Download JSON", "Download Markdown", "Copy link", f"http://testserver{address}"):
        assert words in page
    assert 'report/report.md"' in page


def unfenced(text: str) -> list[str]:
    """Lines outside fenced blocks, read as CommonMark does."""
    lines, fence = [], ""
    for line in text.splitlines():
        marks = len(line) - len(line.lstrip("`"))
        if fence:
            fence = "" if line == fence else fence
        elif marks >= 3:
            fence = "`" * marks
        else:
            lines.append(line)
    assert not fence
    return lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("# head", r"\# head"),
        ("1. item", r"1\. item"),
        ("- item", r"\- item"),
        ("0.05", "0.05"),
        ("a\n# b", r"a \# b"),
        ("[x](http://y)", r"\[x\](http\://y)"),
        ("www.y.example a@b", r"www\.y.example a\@b"),
        ("<b>|`*_", r"\<b\>\|\`\*\_"),
        ("a\\", "a\\\\"),
    ],
)
def test_a_value_is_plain_text(value: str, text: str) -> None:
    assert plain(value) == text


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert fenced("a\n````\nb").startswith("`````text\n")


def test_a_cell_cannot_end_its_row() -> None:
    assert table(["a", "n"], [["x | y\n| z", 1]], numeric=1).splitlines()[2] == r"| x \| y \| z | 1 |"
