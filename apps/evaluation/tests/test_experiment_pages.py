"""The pages of an experiment: what they say while it runs, when it failed, and when it is finished."""

import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.models import JobStatus
from apps.core.tests.factories import UnknownFactory
from apps.evaluation import selectors
from apps.evaluation.comparisons import comparison_rows
from apps.evaluation.figures import cost_text
from apps.evaluation.models import Evaluation
from apps.evaluation.reading import validation_value
from apps.evaluation.tests.worlds import (
    answer_all,
    constant,
    draft,
    finish,
    half,
    perfect,
    rambling,
    registered,
    try_on_validation,
)
from apps.experiments.models import DatasetVersion, Experiment
from apps.providers.models import ProviderKey

NAMES = ["Lookup", "Prompted", "Tuned"]


@pytest.fixture
def experiment(team: Team, alice: User, client: Client) -> Experiment:
    client.force_login(alice)
    return registered(team, alice, NAMES, reference="Tuned")


@pytest.fixture
def finished(experiment: Experiment, alice: User) -> Experiment:
    for name, answer in (("Lookup", half), ("Prompted", rambling), ("Tuned", perfect)):
        answer_all(experiment, alice, name, answer)
    finish(experiment, alice)
    return experiment


def page(client: Client, experiment: Experiment, tab: str = "experiment", query: str = "", **headers: str) -> str:
    address = reverse(tab, args=[experiment.team.slug, experiment.uid])
    response = client.get(f"{address}{query}", **headers)  # type: ignore[arg-type]
    assert response.status_code == 200
    text = response.content.decode()
    assert "<c-" not in text
    return text


def part(client: Client, experiment: Experiment, name: str) -> str:
    return page(client, experiment, query=f"?part={name}", HTTP_HX_REQUEST="true")


def test_a_finished_experiment_opens_with_its_conclusion_and_leads_to_the_model(
    finished: Experiment, client: Client
) -> None:
    text = page(client, finished)
    model = finished.candidates.get(name="Tuned").language_model

    assert text.index("Ship Tuned") < text.index("Leaderboard") < text.index("Paired differences")
    assert finished.conclusion_text.split(":")[0] in text
    assert reverse("model", args=[finished.team.slug, model.uid]) in text
    assert text.count("data-primary") == 1
    assert "sse-connect" not in text


def test_the_reference_stands_first_and_the_others_follow_by_the_primary_metric(finished: Experiment) -> None:
    rows = selectors.board(finished).rows

    assert [row.candidate.name for row in rows] == ["Tuned", "Lookup", "Prompted"]
    assert [row.reference for row in rows] == [True, False, False]
    assert [row.recommended for row in rows] == [True, False, False]
    assert all(row.n == finished.dataset_version.test_count for row in rows)
    assert rows[0].primary.text == "1.000"


def test_every_figure_of_a_row_has_an_interval(finished: Experiment) -> None:
    for row in selectors.board(finished).rows:
        assert all(cell.range for cell in (row.primary, *row.others, row.cost, row.p50))


def test_while_it_runs_each_candidate_says_where_it_stands(experiment: Experiment, alice: User, client: Client) -> None:
    answer_all(experiment, alice, "Lookup", half)
    running = answer_all(experiment, alice, "Prompted", rambling, stop_after=3)

    states = {row.candidate.name: row.state for row in selectors.board(experiment).rows}
    board = part(client, experiment, "board")

    assert states == {"Lookup": "done", "Prompted": "running", "Tuned": "waiting"}
    assert f"3/{running.total}" in board
    assert "Waiting" in board
    assert "<html" not in board


def test_a_failed_candidate_says_why_in_its_row(experiment: Experiment, alice: User, client: Client) -> None:
    evaluation = answer_all(experiment, alice, "Lookup", half, stop_after=2)
    Evaluation.objects.filter(pk=evaluation.pk).update(
        status=JobStatus.FAILED,
        error="The budget is spent.",
        error_kept="2 outputs are stored.",
        error_next="Raise it.",
    )

    board = part(client, experiment, "board")

    assert "The budget is spent. 2 outputs are stored. Raise it." in board


def test_the_latest_output_shows_input_expected_and_answer(experiment: Experiment, alice: User, client: Client) -> None:
    assert "The first output appears here" in part(client, experiment, "latest")
    evaluation = answer_all(experiment, alice, "Prompted", rambling, stop_after=1)

    text = part(client, experiment, "latest")

    assert "Here is the address you asked for, number 0." in text
    assert "Main St" in text
    assert reverse("evaluation", args=[experiment.team.slug, evaluation.uid]) in text


def test_differences_wait_for_the_reference(experiment: Experiment, alice: User, client: Client) -> None:
    answer_all(experiment, alice, "Lookup", half)

    assert "Differences appear when Tuned, the reference, has been tested." in part(client, experiment, "evidence")


def test_no_conclusion_is_shown_before_every_candidate_has_ended(
    experiment: Experiment, alice: User, client: Client
) -> None:
    answer_all(experiment, alice, "Lookup", half)
    answer_all(experiment, alice, "Tuned", perfect)

    text = page(client, experiment)

    assert "Ship " not in text
    assert "Use this model" not in text
    assert not any(row.recommended for row in selectors.board(experiment).rows)


def test_warnings_name_looks_and_constant_answers(experiment: Experiment, alice: User, client: Client) -> None:
    answer_all(experiment, alice, "Lookup", constant)
    answer_all(experiment, alice, "Tuned", perfect)

    text = part(client, experiment, "evidence")

    assert "The test rows were looked at 2 times" in text
    assert "Lookup gives the same output for every example" in text
    assert f"registered under {experiment.registration_hash[:12]}" in text


def test_costs_at_an_assumed_price_lead_to_where_the_team_sets_its_own(
    experiment: Experiment, alice: User, client: Client
) -> None:
    here = reverse("local_price", args=[experiment.team.slug])
    booked = UnknownFactory.create(
        team=experiment.team,
        experiment=experiment,
        language_model=experiment.candidates.get(name="Tuned").language_model,
    )
    first = answer_all(experiment, alice, "Tuned", half).outputs.latest("id")
    first.reservation = booked
    first.save(update_fields=["reservation"])
    for name in NAMES[:2]:
        answer_all(experiment, alice, name, half)
    finish(experiment, alice)
    text = page(client, experiment)
    assert booked.price.assumed
    assert "Costs rest on an assumed price" in text
    assert f'href="{here}"' in text


def test_the_list_shows_question_conclusion_best_and_n(finished: Experiment, client: Client, team: Team) -> None:
    text = client.get(reverse("experiments", args=[team.slug])).content.decode()

    assert finished.question in text
    assert finished.conclusion_text.split(":")[0] in text
    assert "Tuned" in text
    assert str(finished.dataset_version.test_count) in text


@pytest.mark.parametrize(("sort", "expected"), [("name", ["A", "B"]), ("-name", ["B", "A"]), ("nonsense", ["A", "B"])])
def test_the_list_is_sorted_as_asked(sort: str, expected: list[str], team: Team, alice: User) -> None:
    for name in ("B", "A"):
        other = registered(team, alice, ["One", "Two"], reference="One")
        Experiment.objects.filter(pk=other.pk).update(name=name)

    found = selectors.experiments_sorted(user=alice, team=team, sort=sort)

    assert [each.name for each in found] == expected


def test_the_setup_says_that_the_definition_is_as_registered(finished: Experiment, client: Client) -> None:
    assert "Decided as registered" in page(client, finished, "experiment_setup")


def test_the_setup_says_that_a_changed_definition_is_not_what_was_registered(
    finished: Experiment, client: Client
) -> None:
    Experiment.objects.filter(pk=finished.pk).update(margin=0.2)

    assert "no longer matches what was registered" in page(client, finished, "experiment_setup")


def test_the_report_waits_for_the_end_and_then_links_the_json(
    experiment: Experiment, alice: User, client: Client
) -> None:
    download = reverse("experiment_report_json", args=[experiment.team.slug, experiment.uid])
    assert download not in page(client, experiment, "experiment_report")
    for name in NAMES:
        answer_all(experiment, alice, name, perfect)
    finish(experiment, alice)

    text = page(client, experiment, "experiment_report")
    document: Any = json.loads(client.get(download).content)

    assert download in text
    assert document["schema"] == "llmopt.report/1"
    assert experiment.registration_hash in text


def test_every_page_of_an_experiment_is_none_to_another_team(finished: Experiment, charlie: User) -> None:
    client = Client()
    client.force_login(charlie)
    for tab in ("experiment", "experiment_outputs", "experiment_cost", "experiment_setup", "experiment_report"):
        assert client.get(reverse(tab, args=[finished.team.slug, finished.uid])).status_code == 404


def test_while_demonstrations_are_chosen_each_trial_shows_its_value_on_validation(
    team: Team, alice: User, client: Client
) -> None:
    client.force_login(alice)
    experiment = draft(team, alice)
    evaluation = try_on_validation(experiment, alice, "Draw 1", half)

    (trial,) = selectors.trials(experiment)
    board = part(client, experiment, "board")

    assert trial.figure.value == pytest.approx(validation_value(evaluation))
    assert trial.figure.n == evaluation.total
    assert trial.figure.range in board
    assert "Draw 1" in board


@pytest.mark.parametrize("tab", ["experiment", "experiment_outputs", "experiment_cost", "experiment_report"])
def test_a_page_costs_as_many_queries_for_five_candidates_as_for_two(
    tab: str, team: Team, alice: User, client: Client
) -> None:
    client.force_login(alice)
    counts = []
    for names in (["A", "B"], ["A", "B", "C", "D", "E"]):
        experiment = registered(team, alice, names, reference="A")
        for name in names:
            answer_all(experiment, alice, name, half if name == "B" else perfect)
        finish(experiment, alice)
        address = reverse(tab, args=[team.slug, experiment.uid])
        client.get(address)
        with CaptureQueriesContext(connection) as queries:
            client.get(address)
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert counts[0] < 40


def test_an_experiment_that_cannot_end_by_itself_is_called_failed(experiment: Experiment, alice: User) -> None:
    lookup = answer_all(experiment, alice, "Lookup", half, stop_after=2)
    prompted = answer_all(experiment, alice, "Prompted", half, stop_after=2)
    Evaluation.objects.filter(pk=lookup.pk).update(status=JobStatus.FAILED)
    assert selectors.shown_states([experiment]) == {experiment.pk: "running"}

    Evaluation.objects.filter(pk=prompted.pk).update(status=JobStatus.SUCCEEDED)

    assert selectors.shown_states([experiment]) == {experiment.pk: "failed"}


def test_a_candidate_whose_model_failed_says_so(experiment: Experiment, client: Client) -> None:
    model = experiment.candidates.get(name="Tuned").language_model
    model.state, model.error = model.State.FAILED, "The training run stopped at step 37."
    model.save(update_fields=["state", "error"])

    assert "Its model could not be made ready. The training run stopped at step 37." in part(
        client, experiment, "board"
    )
    assert selectors.shown_states([experiment]) == {experiment.pk: "failed"}


def test_an_undecided_comparison_says_how_many_more_examples_it_needs_and_what_they_cost() -> None:
    row = {
        **{"metric": "field_f1", "candidate": "A", "reference": "B", "difference": -0.02, "low": -0.1, "high": 0.06},
        **{"p": 0.6, "p_adjusted": 0.6, "n": 40, "kind": "not_enough_data", "claimed": False, "exploratory": False},
        **{"test": "t", "method": "m", "more_examples": {"more": 310, "cost_nanousd": 2_500_000}},
    }
    (shown,) = comparison_rows({"experiment": {"margin": 0.05}, "comparisons": [row]})

    assert shown.verdict == (
        "Not enough data to tell. Deciding it would probably take at least 310 more examples and $0.0025."
    )


def test_a_mean_cost_below_a_nano_dollar_is_not_shown_as_nothing() -> None:
    assert cost_text(0.2) == "$0.000000001"
    assert cost_text(0.0) == "$0.00"


def test_a_fresh_test_set_is_offered_where_the_rows_suffice_to_whoever_may_draw_one(
    finished: Experiment, client: Client, vera: User
) -> None:
    offer = reverse("experiment_fresh_test", args=[finished.team.slug, finished.uid])
    clone = reverse("experiment_clone", args=[finished.team.slug, finished.uid])
    few = page(client, finished)
    DatasetVersion.objects.update(train_count=400)
    enough = page(client, finished)
    client.force_login(vera)
    read = page(client, finished)

    assert (offer in few, clone in few) == (False, True)
    assert "The test rows were looked at" in enough
    assert (offer in enough, clone in enough) == (True, True)
    assert (offer in read, clone in read) == (False, False)
    assert "The test rows were looked at" in read


# --- what a comparison with a commercial model would cost


def test_a_finished_experiment_says_what_gpt_or_claude_would_cost_and_where_a_key_goes(
    client: Client, finished: Experiment
) -> None:
    text = page(client, finished)
    (said,) = re.findall(r"Compare with GPT-[^<]* or Claude [^<]*: about \$[0-9.]+[^<]* for this test\.", text)
    assert "$0.00 " not in said
    assert reverse("provider_keys", args=[finished.team.slug]) in text


def test_with_a_key_it_names_that_providers_model_and_leads_to_the_candidates(
    client: Client, finished: Experiment
) -> None:
    ProviderKey.objects.create(team=finished.team, provider="anthropic", name="ours", source="environment")
    text = page(client, finished)
    assert re.search(r"Compare with Claude [^<]*: about", text)
    assert "or Claude" not in text
    assert reverse("candidates_new", args=[finished.team.slug, finished.uid]) in text


@pytest.mark.parametrize("why", ["running", "text stays", "took part"])
def test_nothing_is_offered_where_it_makes_no_sense(
    client: Client, experiment: Experiment, alice: User, team: Team, why: str
) -> None:
    for name, answer in (("Lookup", half), ("Prompted", rambling), ("Tuned", perfect)):
        answer_all(experiment, alice, name, answer)
    if why != "running":
        finish(experiment, alice)
    if why == "text stays":
        Team.objects.filter(pk=team.pk).update(text_may_leave=False)
    if why == "took part":
        model = experiment.candidates.get(name="Prompted").language_model
        type(model).objects.filter(pk=model.pk).update(
            kind="commercial", provider="openai", provider_model="gpt-6-luna"
        )
    assert "Compare with" not in page(client, experiment)
