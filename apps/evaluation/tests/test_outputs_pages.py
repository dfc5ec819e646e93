"""Test examples with their answers: filters, the telling ones, and one example across candidates."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.errors import NotFound
from apps.evaluation import selectors
from apps.evaluation.models import Score
from apps.evaluation.tests.worlds import answer_all, constant, half, perfect, rambling, registered
from apps.experiments import rows
from apps.experiments.models import Experiment


@pytest.fixture
def experiment(team: Team, alice: User, client: Client) -> Experiment:
    client.force_login(alice)
    made = registered(team, alice, ["Half", "Rambling", "Tuned"], reference="Tuned")
    answer_all(made, alice, "Half", half)
    answer_all(made, alice, "Rambling", rambling)
    answer_all(made, alice, "Tuned", half)
    return made


def _scores(experiment: Experiment) -> dict[str, dict[str, float]]:
    found = Score.objects.filter(output__evaluation__experiment=experiment, metric=experiment.primary_metric)
    table: dict[str, dict[str, float]] = {}
    for id_, name, value in found.values_list("output__example_id", "output__evaluation__candidate__name", "value"):
        table.setdefault(id_, {})[name] = value
    return table


def _ids(experiment: Experiment, **filters: str) -> list[str]:
    found, count = selectors.answered_examples(experiment, limit=1000, **filters)  # type: ignore[arg-type]
    assert count == len(found)
    return [answered.example.id for answered in found]


def test_all_answered_examples_are_listed_in_the_order_of_their_ids(experiment: Experiment) -> None:
    assert _ids(experiment) == sorted(_scores(experiment))


def test_disagree_keeps_examples_on_which_the_scores_differ(experiment: Experiment) -> None:
    table = _scores(experiment)

    assert _ids(experiment, which="disagree") == sorted(id_ for id_, row in table.items() if len(set(row.values())) > 1)


def test_wrong_keeps_examples_that_nobody_has_all_right(experiment: Experiment) -> None:
    expected = sorted(id_ for id_, row in _scores(experiment).items() if max(row.values()) < 1)

    assert 0 < len(expected) < len(_scores(experiment))
    assert _ids(experiment, which="wrong") == expected


def test_a_candidate_is_wrong_where_its_own_score_is_below_one(experiment: Experiment) -> None:
    expected = sorted(id_ for id_, row in _scores(experiment).items() if row["Half"] < 1)

    assert 0 < len(expected) < len(_scores(experiment))
    assert _ids(experiment, which="candidate", candidate="Half") == expected


def test_a_page_holds_its_share_of_the_examples(experiment: Experiment) -> None:
    first, count = selectors.answered_examples(experiment, offset=0, limit=4)
    second, _ = selectors.answered_examples(experiment, offset=4, limit=4)

    assert [len(first), len(second)] == [4, min(4, count - 4)]
    assert [answered.number for answered in (*first, *second)] == list(range(1, 5 + len(second)))


def test_the_reference_answers_first(experiment: Experiment) -> None:
    answered = selectors.answered_examples(experiment)[0][0]

    assert [answer.candidate.name for answer in answered.answers] == ["Tuned", "Half", "Rambling"]


def test_telling_examples_are_those_with_the_largest_spread(experiment: Experiment) -> None:
    table = _scores(experiment)

    def spread(id_: str) -> float:
        values = list(table[id_].values())
        mean = sum(values) / len(values)
        return round(sum((value - mean) ** 2 for value in values) / len(values), 9)

    expected = sorted(table, key=lambda id_: (-spread(id_), id_))[:5]

    assert [answered.example.id for answered in selectors.telling_examples(experiment)] == expected


def test_no_example_tells_anything_while_all_candidates_agree(team: Team, alice: User) -> None:
    made = registered(team, alice, ["One", "Two"], reference="One")
    answer_all(made, alice, "One", perfect)
    answer_all(made, alice, "Two", perfect)

    assert selectors.telling_examples(made) == []


def test_an_example_without_an_answer_is_not_found(experiment: Experiment) -> None:
    unanswered = rows.train_rows(experiment.dataset_version)[0].id

    with pytest.raises(NotFound):
        selectors.answered_example(experiment, unanswered)


def test_test_rows_stay_closed_until_something_has_answered_them(team: Team, alice: User, client: Client) -> None:
    client.force_login(alice)
    made = registered(team, alice, ["One", "Two"], reference="One")
    closed = rows.test_ids(made.dataset_version)[0]

    listed = client.get(reverse("experiment_outputs", args=[team.slug, made.uid])).content.decode()
    opened = client.get(reverse("experiment_output", args=[team.slug, made.uid, closed]))

    assert "No test output yet" in listed
    assert opened.status_code == 404


def test_the_page_of_an_example_shows_fields_and_neighbours(experiment: Experiment, client: Client, team: Team) -> None:
    ids = _ids(experiment)
    text = client.get(reverse("experiment_output", args=[team.slug, experiment.uid, ids[1]])).content.decode()

    assert "Fields expected and given" in text
    assert ids[0] in text
    assert ids[2] in text
    assert "Here is the address you asked for" in text


def test_the_list_filters_as_its_address_says(experiment: Experiment, client: Client, team: Team) -> None:
    address = reverse("experiment_outputs", args=[team.slug, experiment.uid])

    everything = client.get(address).content.decode()
    wrong = client.get(address, {"show": "wrong:Half"}).content.decode()

    hidden = next(id_ for id_ in _ids(experiment) if id_ not in _ids(experiment, which="candidate", candidate="Half"))
    assert hidden in everything
    assert hidden not in wrong


def test_an_evaluation_lists_its_outputs_newest_first(team: Team, alice: User, client: Client) -> None:
    client.force_login(alice)
    made = registered(team, alice, ["One", "Two"], reference="One")
    evaluation = answer_all(made, alice, "One", constant, stop_after=3)

    outputs, count = selectors.evaluation_outputs(evaluation)
    text = client.get(reverse("evaluation", args=[team.slug, evaluation.uid])).content.decode()

    assert count == 3
    assert [output.pk for output, _, _ in outputs] == sorted((output.pk for output, _, _ in outputs), reverse=True)
    assert text.count("Nulltown") == 3
    assert "Cancel job" in text


def test_a_viewer_sees_an_evaluation_without_its_actions(team: Team, alice: User, vera: User, client: Client) -> None:
    made = registered(team, alice, ["One", "Two"], reference="One")
    evaluation = answer_all(made, alice, "One", constant, stop_after=1)
    client.force_login(vera)

    assert "Cancel job" not in client.get(reverse("evaluation", args=[team.slug, evaluation.uid])).content.decode()
