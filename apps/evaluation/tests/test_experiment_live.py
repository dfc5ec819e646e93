"""What an open page of an experiment asks for again, and what the answer page says that only a report knows."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.evaluation import selectors
from apps.evaluation.models import Leaderboard
from apps.evaluation.services.reports import report_create
from apps.evaluation.tests.worlds import answer_all, finish, half, perfect, registered
from apps.experiments.models import Experiment

TRAINING = {"examples": 1040, "epochs": 1, "seconds": 365.0, "tokens_per_second": 1234.4}


@pytest.fixture
def experiment(team: Team, alice: User, client: Client) -> Experiment:
    client.force_login(alice)
    return registered(team, alice, ["Lookup", "Tuned"], reference="Tuned")


def read(client: Client, experiment: Experiment, query: str = "", tab: str = "experiment", **headers: str) -> Any:
    address = reverse(tab, args=[experiment.team.slug, experiment.uid])
    return client.get(f"{address}{query}", **headers)  # type: ignore[arg-type]


def text_of(client: Client, experiment: Experiment, tab: str = "experiment") -> str:
    return str(read(client, experiment, tab=tab).content.decode())


def test_every_part_that_listens_to_events_also_asks_by_itself(experiment: Experiment, client: Client) -> None:
    text = text_of(client, experiment)

    triggers = re.findall(r'hx-trigger="([^"]*sse:[^"]*)"', text)

    assert len(triggers) == 4
    assert [trigger for trigger in triggers if not re.search(r"every \d+s", trigger)] == []


def test_the_open_page_is_left_alone_until_its_state_changes(
    experiment: Experiment, alice: User, client: Client
) -> None:
    asked = re.search(r'hx-get="([^"]*seen=[^"&]*)"[^>]*hx-target="#main"', text_of(client, experiment))
    assert asked is not None
    query = asked.group(1).partition("/?")[2]
    assert read(client, experiment, f"?{query}", HTTP_HX_REQUEST="true").status_code == 204
    assert read(client, experiment, f"?{query}").status_code == 200  # a person who opens the address

    for name in ("Lookup", "Tuned"):
        answer_all(experiment, alice, name, perfect)
    finish(experiment, alice)

    answer = read(client, experiment, f"?{query}", HTTP_HX_REQUEST="true")
    assert answer.status_code == 200
    assert "Ship " in answer.content.decode()


def test_the_evidence_is_sent_again_when_an_evaluation_has_ended(
    experiment: Experiment, alice: User, client: Client
) -> None:
    assert read(client, experiment, "?part=evidence&seen=0", HTTP_HX_REQUEST="true").status_code == 204

    answer_all(experiment, alice, "Lookup", half)

    answer = read(client, experiment, "?part=evidence&seen=0", HTTP_HX_REQUEST="true")
    assert answer.status_code == 200
    assert "part=evidence&amp;seen=1" in answer.content.decode()


def test_a_tie_names_both_in_the_headline_and_in_the_list(
    experiment: Experiment, alice: User, client: Client, team: Team
) -> None:
    for name in ("Lookup", "Tuned"):
        answer_all(experiment, alice, name, perfect)
    finish(experiment, alice)
    board = Leaderboard.objects.get(experiment=experiment)
    board.document["conclusion"] |= {"recommended": "Tuned", "also_recommended": ["Lookup"]}
    board.save(update_fields=["document"])

    assert "Ship Tuned or Lookup" in text_of(client, experiment)
    assert ">Tuned or Lookup<" in client.get(reverse("experiments", args=[team.slug])).content.decode()


@pytest.mark.parametrize(
    ("conclusion", "text"),
    [
        ({}, None),
        ({"recommended": "A", "final": False}, None),
        ({"recommended": None, "also_recommended": [], "final": True}, None),
        ({"recommended": "A", "also_recommended": [], "final": True}, "A"),
        ({"recommended": "A", "also_recommended": ["B", "C"], "final": True}, "A or B, C"),
    ],
)
def test_whom_a_conclusion_recommends(conclusion: dict[str, Any], text: str | None) -> None:
    assert selectors.recommended_text(conclusion) == text


@pytest.fixture
def reported(experiment: Experiment, alice: User) -> Experiment:
    """With the facts that the quickstart writes into a report."""
    for name in ("Lookup", "Tuned"):
        answer_all(experiment, alice, name, perfect)
    report_create(
        actor=alice, experiment=experiment, training=TRAINING, seconds={"few_shot": 61.0, "total": 700.0},
        memory_mib={}, versions={},
    )  # fmt: skip
    experiment.refresh_from_db()
    return experiment


def test_training_time_and_rate_stand_under_the_leaderboard_and_in_the_report(
    reported: Experiment, client: Client
) -> None:
    assert "Training took 6 min 5 s for 1,040 examples, at 1,234 tokens/s." in text_of(client, reported)
    report = text_of(client, reported, "experiment_report")
    for fact in ("Training time", "6 min 5 s", "Training rate", "1,234 tokens/s"):
        assert fact in report


def test_an_experiment_without_training_says_nothing_of_it(experiment: Experiment, alice: User, client: Client) -> None:
    for name in ("Lookup", "Tuned"):
        answer_all(experiment, alice, name, perfect)
    finish(experiment, alice)

    assert "Training took" not in text_of(client, experiment)


def test_the_report_calls_the_steps_by_their_names(reported: Experiment, client: Client) -> None:
    report = text_of(client, reported, "experiment_report")

    assert "Test the few-shot prompt" in report
    assert "All together" in report
    assert "few_shot" not in report


def test_a_row_without_figures_is_as_wide_as_the_columns_that_there_are(
    team: Team, alice: User, client: Client
) -> None:
    client.force_login(alice)
    other = registered(team, alice, ["One", "Two"], reference="One")
    Experiment.objects.filter(pk=other.pk).update(metrics=["field_f1"])

    text = text_of(client, other)
    board_html = text[text.index("<caption") :]
    assert 'colspan="5"' in text
    assert board_html[: board_html.index("</thead>")].count("<th ") == 6


def test_the_list_asks_for_the_same_part_however_often_it_is_fetched_again(
    experiment: Experiment, client: Client, team: Team
) -> None:
    address = reverse("experiments", args=[team.slug])

    text = client.get(f"{address}?sort=name&part=rows", HTTP_HX_REQUEST="true").content.decode()

    assert f'hx-get="{address}?sort=name&amp;part=rows"' in text
