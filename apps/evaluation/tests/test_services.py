"""From ended evaluations to figures and to one report that never changes."""

import json
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core.artifacts import get_bytes
from apps.core.errors import Conflict
from apps.core.models import JobStatus
from apps.core.tests.factories import BudgetFactory, PriceFactory
from apps.evaluation import reading, tasks
from apps.evaluation.models import Evaluation, Leaderboard
from apps.evaluation.reading import candidate_state, report_facts, validation_estimate, validation_value
from apps.evaluation.services import leaderboards
from apps.evaluation.services.evaluations import choice_evaluation_create, evaluation_start, final_evaluation_create
from apps.evaluation.services.leaderboards import leaderboard_is_behind, leaderboard_refresh
from apps.evaluation.services.reports import report_create
from apps.experiments.models import Experiment
from apps.experiments.services.experiments import experiment_register
from apps.experiments.tests.world import add_baseline, experiment_of, version_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("empty_cache_memory"),
]
NOTHING: dict[str, Any] = {"training": {}, "seconds": {}, "memory_mib": {}, "versions": {}}


@pytest.fixture
def experiment(team: Team, bob: User) -> Experiment:
    """Registered, two baselines, nothing evaluated."""
    PriceFactory.create()
    BudgetFactory.create(team=team)
    made = experiment_of(version_of(team, bob), bob)
    Experiment.objects.filter(pk=made.pk).update(bootstrap_resamples=199)
    made.refresh_from_db()
    add_baseline(made, bob, "most_frequent")
    reference = add_baseline(made, bob, "token_lookup")
    return experiment_register(actor=bob, experiment=made, reference=reference)


def finals(experiment: Experiment, actor: User) -> list[Evaluation]:
    made = []
    for candidate in experiment.candidates.order_by("position"):
        evaluation = final_evaluation_create(actor=actor, candidate=candidate, order_seed=3)
        evaluation_start(actor=actor, evaluation=evaluation)
        made.append(evaluation)
    return made


def test_figures_appear_as_each_evaluation_ends(experiment: Experiment, bob: User) -> None:
    first, second = finals(experiment, bob)
    tasks.evaluation_slice(first.pk)
    board = Leaderboard.objects.get()
    values = [row["metrics"].get("field_f1") for row in board.document["candidates"]]
    assert board.ended_count == 1
    assert values[0]["n"] == experiment.dataset_version.test_count
    assert not values[1]
    tasks.evaluation_slice(second.pk)
    board.refresh_from_db()
    assert board.ended_count == 2
    assert all(row["metrics"]["field_f1"]["value"] is not None for row in board.document["candidates"])
    assert all("outputs" not in row for row in board.document["candidates"])


def test_a_worker_that_died_before_the_figures_is_noticed(
    experiment: Experiment, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _second = finals(experiment, bob)
    assert not leaderboard_is_behind(experiment)
    monkeypatch.setattr("apps.evaluation.services.slices.leaderboard_refresh", lambda **_more: None)
    tasks.evaluation_slice(first.pk)
    assert leaderboard_is_behind(experiment)
    assert leaderboard_refresh(actor=None, experiment=experiment)
    assert not leaderboard_is_behind(experiment)


def test_an_older_computation_never_replaces_a_newer_one(
    experiment: Experiment, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for evaluation in finals(experiment, bob):
        tasks.evaluation_slice(evaluation.pk)
    newest = Leaderboard.objects.get().document
    monkeypatch.setattr(leaderboards, "ended_count", lambda _experiment: 1)
    assert not leaderboard_refresh(actor=None, experiment=experiment)
    assert Leaderboard.objects.get().document == newest


def test_the_report_waits_for_every_candidate(experiment: Experiment, bob: User) -> None:
    first, _second = finals(experiment, bob)
    tasks.evaluation_slice(first.pk)
    with pytest.raises(Conflict, match="when every candidate's evaluation has ended"):
        report_create(actor=bob, experiment=experiment, **NOTHING)
    assert Experiment.objects.get().state == Experiment.State.REGISTERED


def test_a_report_is_written_once_and_carries_every_output(experiment: Experiment, bob: User) -> None:
    for evaluation in finals(experiment, bob):
        tasks.evaluation_slice(evaluation.pk)
    stale = Experiment.objects.get()
    name = report_create(actor=bob, experiment=experiment, **{**NOTHING, "seconds": {"total": 1.0}})
    again = report_create(actor=bob, experiment=stale, **{**NOTHING, "seconds": {"total": 2.0}})
    assert again == name == Experiment.objects.get().report_artifact
    report = json.loads(get_bytes(name))
    assert report["seconds"] == {"total": 1.0}
    n = experiment.dataset_version.test_count
    assert len(report["examples"]) == n
    assert [len(row["outputs"]) for row in report["candidates"]] == [n, n]
    stored = Experiment.objects.get()
    assert (stored.state, stored.conclusion_kind) == (Experiment.State.FINISHED, report["conclusion"]["kind"])
    assert stored.conclusion_text == report["conclusion"]["text"]
    assert Leaderboard.objects.get().document["conclusion"] == report["conclusion"]


def test_no_final_test_is_added_to_a_finished_experiment(experiment: Experiment, bob: User) -> None:
    for evaluation in finals(experiment, bob):
        tasks.evaluation_slice(evaluation.pk)
    report_create(actor=bob, experiment=experiment, **NOTHING)
    with pytest.raises(Conflict):
        final_evaluation_create(actor=bob, candidate=experiment.candidates.all()[0], order_seed=1)


def test_an_evaluation_is_queued_once(experiment: Experiment, bob: User) -> None:
    evaluation = final_evaluation_create(actor=bob, candidate=experiment.candidates.all()[0], order_seed=1)
    assert evaluation_start(actor=bob, evaluation=evaluation)
    assert not evaluation_start(actor=bob, evaluation=evaluation)


# --- reading


def test_facts_are_read_as_far_as_evaluations_have_ended(experiment: Experiment, bob: User) -> None:
    assert report_facts(experiment).examples == ()
    first, second = finals(experiment, bob)
    tasks.evaluation_slice(first.pk)
    facts = report_facts(experiment)
    assert [row.state for row in facts.candidates] == ["done", "queued"]
    assert [row.id for row in facts.examples] == sorted(first.example_ids)
    assert len(facts.candidates[0].outputs) == len(first.example_ids)
    assert facts.candidates[1].outputs == ()
    assert candidate_state(None) == JobStatus.PLANNED
    Evaluation.objects.filter(pk=second.pk).update(status=JobStatus.CANCELLED)
    assert report_facts(experiment).candidates[1].state == "failed"


def test_a_cost_at_an_assumed_price_is_called_assumed_also_when_every_answer_was_cached(
    experiment: Experiment, bob: User
) -> None:
    first, second = finals(experiment, bob)
    for evaluation in (first, second):
        tasks.evaluation_slice(evaluation.pk)
    assert [row.cost_assumed for row in report_facts(experiment).candidates] == [True, True]
    first.outputs.update(reservation=None, cached=True)
    assert [row.cost_assumed for row in report_facts(experiment).candidates] == [True, True]


def test_a_choice_is_made_only_by_a_finished_evaluation_on_validation(experiment: Experiment, bob: User) -> None:
    final = finals(experiment, bob)[0]
    tasks.evaluation_slice(final.pk)
    final.refresh_from_db()
    with pytest.raises(ValueError, match="no finished evaluation on validation"):
        validation_value(final)
    trial = add_baseline(experiment, bob, "token_lookup", trial=True)
    choice = choice_evaluation_create(actor=bob, candidate=trial, order_seed=1, limit=5)
    with pytest.raises(ValueError, match="no finished evaluation on validation"):
        validation_value(choice)
    evaluation_start(actor=bob, evaluation=choice)
    tasks.evaluation_slice(choice.pk)
    choice.refresh_from_db()
    assert 0.0 < validation_value(choice) <= 1.0


def test_what_infrastructure_failed_is_no_value_in_a_choice(experiment: Experiment, bob: User) -> None:
    trial = add_baseline(experiment, bob, "token_lookup", trial=True)
    choice = choice_evaluation_create(actor=bob, candidate=trial, order_seed=1, limit=5)
    evaluation_start(actor=bob, evaluation=choice)
    tasks.evaluation_slice(choice.pk)
    Experiment.objects.filter(pk=experiment.pk).update(primary_metric="valid_rate")
    choice = Evaluation.objects.get(pk=choice.pk)
    assert validation_value(choice) == 1.0
    choice.outputs.filter(pk=choice.outputs.order_by("pk")[0].pk).update(error="infrastructure")
    with pytest.raises(Conflict, match="no answer to 1 of 5 validation examples"):
        validation_value(choice)
    choice.outputs.update(error="infrastructure")
    with pytest.raises(Conflict, match="no answer to 5 of 5 validation examples"):
        validation_value(choice)


def test_a_figure_on_validation_is_computed_once_and_anew_under_another_definition(
    experiment: Experiment, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = add_baseline(experiment, bob, "token_lookup", trial=True)
    choice = choice_evaluation_create(actor=bob, candidate=trial, order_seed=1, limit=5)
    evaluation_start(actor=bob, evaluation=choice)
    tasks.evaluation_slice(choice.pk)
    choice = Evaluation.objects.get(pk=choice.pk)
    first = validation_estimate(choice)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "_validation_units", lambda _evaluation: pytest.fail("computed again"))
        assert validation_estimate(Evaluation.objects.get(pk=choice.pk)) == first
    Experiment.objects.filter(pk=experiment.pk).update(alpha=0.2)
    narrower = validation_estimate(Evaluation.objects.get(pk=choice.pk))
    assert first.low is not None
    assert narrower.low is not None
    assert (narrower.estimate, narrower.low > first.low) == (first.estimate, True)
