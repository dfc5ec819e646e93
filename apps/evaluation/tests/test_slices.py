"""An evaluation in slices: each output once, whatever is interrupted, and a sentence when it cannot go on."""

import datetime
import json
import os
import signal
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import selectors
from apps.billing.metering import MeteredResult
from apps.billing.models import Budget, BudgetPeriod, LedgerEntry
from apps.billing.services import reservations_sweep
from apps.billing.tests.processes import start_process
from apps.core import artifacts, jobs
from apps.core.models import JobStatus
from apps.core.tests.factories import BudgetFactory, LanguageModelFactory, PriceFactory
from apps.evaluation import running, tasks
from apps.evaluation.models import Evaluation, Output, Score
from apps.evaluation.services.evaluations import choice_evaluation_create, evaluation_start
from apps.evaluation.services.scoring import output_store
from apps.evaluation.tests.clients import Client, serve
from apps.experiments import rows
from apps.experiments.models import Candidate
from apps.experiments.tests.world import add_baseline, add_prompted, experiment_of, version_of
from apps.providers.engine.baselines import fit_most_frequent
from apps.providers.engine.clients.base import ConnectionFailed

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("empty_cache_memory"),
]
ROWS = 6


@pytest.fixture(autouse=True)
def two_at_once(settings: Any) -> None:
    settings.EVALUATION_CONCURRENCY = 2


@pytest.fixture
def budget(team: Team) -> Budget:
    PriceFactory.create()
    made: Budget = BudgetFactory.create(team=team)
    return made


@pytest.fixture
def candidate(team: Team, bob: User, budget: Budget) -> Candidate:
    return add_baseline(experiment_of(version_of(team, bob), bob), bob, "nearest", trial=True)


def queued(candidate: Candidate, actor: User) -> Evaluation:
    evaluation = choice_evaluation_create(actor=actor, candidate=candidate, order_seed=3, limit=ROWS)
    assert evaluation_start(actor=actor, evaluation=evaluation)
    return evaluation


def stored(evaluation: Evaluation) -> Evaluation:
    return Evaluation.objects.get(pk=evaluation.pk)


def assert_all_is_well(evaluation: Evaluation, *, unknown: int = 0) -> None:
    assert stored(evaluation).status == JobStatus.SUCCEEDED
    assert sorted(evaluation.outputs.values_list("example_id", flat=True)) == sorted(evaluation.example_ids)
    assert Score.objects.filter(output__evaluation=evaluation).count() == 3 * ROWS
    assert LedgerEntry.objects.filter(kind="settled").count() == ROWS
    assert LedgerEntry.objects.filter(kind="unknown").count() == unknown
    assert selectors.held_total() == 0
    assert selectors.ledger_balance_problems() == []


def test_each_row_is_answered_scored_and_paid_once(candidate: Candidate, bob: User) -> None:
    evaluation = queued(candidate, bob)
    tasks.evaluation_slice(evaluation.pk)
    assert_all_is_well(evaluation)
    now = stored(evaluation)
    assert (now.done, now.total, now.phase) == (ROWS, ROWS, "")
    assert now.work_seconds > 0
    assert now.finished_at is not None


def test_a_redelivered_message_does_nothing(candidate: Candidate, bob: User) -> None:
    evaluation = queued(candidate, bob)
    tasks.evaluation_slice(evaluation.pk)
    tasks.evaluation_slice(evaluation.pk)
    assert_all_is_well(evaluation)


def test_the_same_evaluation_in_another_experiment_is_answered_by_the_cache_alone(
    team: Team, bob: User, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(team, bob)
    first = add_prompted(experiment_of(version, bob), bob, trial=True)
    again = add_prompted(
        experiment_of(version, bob, name="Again"), bob, trial=True,
        language_model=first.language_model, prompt_version=first.prompt_version,
    )  # fmt: skip
    client = Client("one", "two", "three", "four", "five", "six")
    serve(monkeypatch, first, client)
    evaluations = [queued(candidate, bob) for candidate in (first, again)]
    for evaluation in evaluations:
        tasks.evaluation_slice(evaluation.pk)

    assert client.calls == ROWS
    texts = [dict(each.outputs.values_list("example_id", "text")) for each in evaluations]
    assert texts[0] == texts[1]
    assert set(evaluations[1].outputs.values_list("cached", flat=True)) == {True}
    assert LedgerEntry.objects.filter(kind="cached", experiment=again.experiment).count() == ROWS
    assert selectors.experiment_cost(again.experiment).spent_nanousd == 0


def die_in_slice(pk: int, fault: str, folder: str) -> None:
    os.environ.update(LLMOPT_FAULT=fault, LLMOPT_FAULT_DIR=folder)
    tasks.evaluation_slice(pk)


@pytest.mark.parametrize(("fault", "unknown"), [("claim", 0), ("reserve:3", 0), ("call:3", 1), ("settle:3", 1)])
def test_a_killed_slice_goes_on_and_doubles_nothing(
    candidate: Candidate, bob: User, tmp_path: Any, settings: Any, fault: str, unknown: int
) -> None:
    settings.EVALUATION_CONCURRENCY = 1
    evaluation = queued(candidate, bob)
    process = start_process(die_in_slice, evaluation.pk, fault, str(tmp_path))
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    before = set(evaluation.outputs.values_list("pk", flat=True))
    assert len(before) == (0 if fault == "claim" else 2)
    assert stored(evaluation).status == JobStatus.RUNNING

    Evaluation.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(minutes=1))
    assert jobs.reap() == 1
    reservations_sweep()
    tasks.evaluation_slice(evaluation.pk)

    assert_all_is_well(evaluation, unknown=unknown)
    assert before <= set(evaluation.outputs.values_list("pk", flat=True))


def test_a_slice_ends_with_its_time_and_the_next_one_goes_on(candidate: Candidate, bob: User, settings: Any) -> None:
    evaluation = queued(candidate, bob)
    settings.EVALUATION_SLICE_SECONDS = 5  # the slice stops five seconds before the end: at once
    tasks.evaluation_slice(evaluation.pk)
    assert stored(evaluation).status == JobStatus.QUEUED
    assert evaluation.outputs.count() == 0
    settings.EVALUATION_SLICE_SECONDS = 60
    tasks.evaluation_slice(evaluation.pk)
    assert_all_is_well(evaluation)


def test_a_slice_whose_claim_was_taken_stops_and_says_nothing(
    candidate: Candidate, bob: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.EVALUATION_CONCURRENCY = 1
    monkeypatch.setattr(running, "HEARTBEAT_SECONDS", 0.01)
    evaluation = queued(candidate, bob)

    def taken() -> None:
        from django.db import connection

        Evaluation.objects.filter(pk=evaluation.pk).update(claim="another process")
        connection.close()
        import time

        time.sleep(0.3)

    client = Client(before=taken)
    serve(monkeypatch, candidate, client)
    tasks.evaluation_slice(evaluation.pk)
    assert client.calls == 1
    now = stored(evaluation)
    assert (now.status, now.claim, now.error) == (JobStatus.RUNNING, "another process", "")


def test_a_full_budget_ends_it_with_a_sentence_and_more_money_lets_it_go_on(
    candidate: Candidate, bob: User, budget: Budget, settings: Any
) -> None:
    settings.EVALUATION_CONCURRENCY = 1
    evaluation = queued(candidate, bob)
    Budget.objects.filter(pk=budget.pk).update(limit_nanousd=1)
    tasks.evaluation_slice(evaluation.pk)
    now = stored(evaluation)
    assert now.status == JobStatus.FAILED
    assert "budget" in now.error.lower()
    assert now.error_kept == "0 outputs are stored."
    assert "Raise the budget" in now.error_next
    assert selectors.held_total() == 0

    BudgetPeriod.objects.filter(budget=budget).update(limit_nanousd=5_000_000_000)
    jobs.job_resume(actor=bob, row=now)
    tasks.evaluation_slice(evaluation.pk)
    assert_all_is_well(evaluation)


@pytest.mark.parametrize(("press", "end"), [(jobs.job_cancel, "cancelled"), (jobs.job_pause, "paused")])
def test_a_stopped_evaluation_keeps_its_outputs_and_goes_on_from_them(
    candidate: Candidate, bob: User, monkeypatch: pytest.MonkeyPatch, settings: Any, press: Any, end: str
) -> None:
    settings.EVALUATION_CONCURRENCY = 1
    monkeypatch.setattr(running, "HEARTBEAT_SECONDS", 0.01)
    evaluation = queued(candidate, bob)

    def stop_at_the_third() -> None:
        from django.db import connection

        if client.calls == 2:
            press(actor=bob, row=stored(evaluation))
            connection.close()
            import time

            time.sleep(0.3)

    client = Client(before=stop_at_the_third)
    serve(monkeypatch, candidate, client)
    tasks.evaluation_slice(evaluation.pk)
    assert stored(evaluation).status == end
    kept = set(evaluation.outputs.values_list("pk", flat=True))
    assert len(kept) == 3  # the call that was under way is kept too

    jobs.job_resume(actor=bob, row=stored(evaluation))
    tasks.evaluation_slice(evaluation.pk)
    assert_all_is_well(evaluation)
    assert kept <= set(evaluation.outputs.values_list("pk", flat=True))
    assert client.calls == ROWS


def test_a_cancel_that_comes_between_two_slices_costs_no_call(
    candidate: Candidate, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = queued(candidate, bob)
    Evaluation.objects.filter(pk=evaluation.pk).update(cancel_requested=True)
    client = Client()
    serve(monkeypatch, candidate, client)
    tasks.evaluation_slice(evaluation.pk)
    assert stored(evaluation).status == JobStatus.CANCELLED
    assert client.calls == 0


def test_any_text_can_be_stored_and_an_invalid_answer_stays_invalid(
    candidate: Candidate, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = queued(candidate, bob)
    strange = ["a\x00b", "\ud800 half", '{"city":"x\x00"}', "\x00", '{"city":"\\u0000"}', "\U0001f600 {}"]
    serve(monkeypatch, candidate, Client(*strange))
    tasks.evaluation_slice(evaluation.pk)
    assert_all_is_well(evaluation)
    texts = sorted(evaluation.outputs.values_list("text", flat=True))
    assert len(set(texts)) == ROWS
    assert not [text for text in texts if "\x00" in text or "\ud800" in text]
    valid = Score.objects.filter(metric="valid_rate", value=1).values_list("output__text", flat=True)
    assert list(valid) == ['{"city":"\\u0000"}']  # the escape is JSON, a NUL as such is not


def test_a_model_that_never_answers_ends_the_evaluation_with_a_sentence(
    candidate: Candidate, bob: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Each slice is shorter than the time for which a call is tried again: without an end it would try for ever."""
    settings.EVALUATION_SLICE_SECONDS = 5.1
    evaluation = queued(candidate, bob)

    def refuse() -> None:
        raise ConnectionFailed("Nothing listens there.", sent=False)

    serve(monkeypatch, candidate, Client(before=refuse))
    for _ in range(20):
        if stored(evaluation).status != JobStatus.QUEUED:
            break
        tasks.evaluation_slice(evaluation.pk)
    now = stored(evaluation)
    assert now.status == JobStatus.FAILED
    assert "not answered" in now.error
    assert "Retry" in now.error_next
    assert selectors.held_total() == 0
    serve(monkeypatch, candidate, Client())
    settings.EVALUATION_SLICE_SECONDS = 60
    jobs.job_resume(actor=bob, row=now)
    tasks.evaluation_slice(evaluation.pk)
    assert stored(evaluation).status == JobStatus.SUCCEEDED


def test_a_fault_of_ours_fails_the_evaluation_with_what_was_kept(
    candidate: Candidate, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = queued(candidate, bob)
    monkeypatch.setattr(running, "output_store", lambda **_more: 1 / 0)
    with pytest.raises(BaseException, match=r"ZeroDivision|TaskGroup|unhandled"):
        tasks.evaluation_slice(evaluation.pk)
    now = stored(evaluation)
    assert now.status == JobStatus.FAILED
    assert "ZeroDivisionError" in now.error
    assert now.error_kept == "0 outputs are stored."
    assert selectors.held_total() == 0


def test_an_answer_that_two_slices_store_at_once_is_kept_once(candidate: Candidate, bob: User) -> None:
    evaluation = queued(candidate, bob)
    example = next(iter(rows.rows_for_evaluation(evaluation).values()))
    for text in ("first", "second"):
        output_store(actor=None, evaluation=evaluation, example=example, repeat=0, result=MeteredResult(text=text))
    assert Output.objects.get().text == "first"
    assert Score.objects.count() == 3


def store_here(pk: int, text: str) -> None:
    evaluation = Evaluation.objects.select_related("experiment", "experiment__dataset_version").get(pk=pk)
    example = next(iter(rows.rows_for_evaluation(evaluation).values()))
    output_store(actor=None, evaluation=evaluation, example=example, repeat=0, result=MeteredResult(text=text))


def test_processes_that_store_at_once_keep_one_output_and_none_fails(candidate: Candidate, bob: User) -> None:
    evaluation = queued(candidate, bob)
    processes = [start_process(store_here, evaluation.pk, str(number)) for number in range(4)]
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert Output.objects.count() == 1
    assert Score.objects.count() == 3


def test_a_model_that_is_not_ready_is_not_evaluated(team: Team, bob: User, budget: Budget) -> None:
    from apps.core.errors import Conflict

    planned = LanguageModelFactory.create(team=team, kind="trained", state="planned")
    candidate = add_prompted(experiment_of(version_of(team, bob), bob), bob, language_model=planned)
    evaluation = choice_evaluation_create(actor=bob, candidate=candidate, order_seed=1, limit=3)
    with pytest.raises(Conflict, match="is not ready"):
        evaluation_start(actor=bob, evaluation=evaluation)
    assert stored(evaluation).status == JobStatus.PLANNED


def test_a_long_reason_of_a_provider_is_cut_and_not_refused(candidate: Candidate, bob: User) -> None:
    evaluation = queued(candidate, bob)
    example = next(iter(rows.rows_for_evaluation(evaluation).values()))
    result = MeteredResult(text="x", finish_reason="stopped_because_of_something_long", error_text="a\x00b")
    output_store(actor=None, evaluation=evaluation, example=example, repeat=0, result=result)
    output = Output.objects.get()
    assert output.finish_reason == "stopped_because_of_s"
    assert "\x00" not in output.error_text


def test_the_artefact_of_a_baseline_decides_its_answers(team: Team, bob: User, budget: Budget) -> None:
    name = artifacts.put_bytes("m.json", json.dumps(fit_most_frequent([("a", '{"city":"X"}')])).encode())
    model = LanguageModelFactory.create(team=team, kind="baseline", artifact=name)
    candidate = add_prompted(experiment_of(version_of(team, bob), bob), bob, language_model=model, prompt_version=None)
    evaluation = queued(candidate, bob)
    tasks.evaluation_slice(evaluation.pk)
    assert set(evaluation.outputs.values_list("text", flat=True)) == {'{"city":"X"}'}
