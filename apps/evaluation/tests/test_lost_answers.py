"""Answers that never came for reasons not the candidate's: few are borne, more fail the job, Retry asks again."""

from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.billing import selectors
from apps.core import jobs
from apps.core.models import JobStatus
from apps.core.tests.factories import BudgetFactory, PriceFactory
from apps.evaluation import tasks
from apps.evaluation.models import Evaluation, Score
from apps.evaluation.services import slices
from apps.evaluation.services.evaluations import choice_evaluation_create, evaluation_start
from apps.evaluation.tests.clients import Client, serve
from apps.experiments.models import Candidate
from apps.experiments.tests.world import add_baseline, experiment_of, version_of
from apps.providers.engine.clients.base import Auth, ConnectionFailed

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
def candidate(team: Team, bob: User) -> Candidate:
    PriceFactory.create()
    BudgetFactory.create(team=team)
    return add_baseline(experiment_of(version_of(team, bob), bob), bob, "nearest", trial=True)


@pytest.fixture
def evaluation(candidate: Candidate, bob: User) -> Evaluation:
    """By which something is to be chosen; queued."""
    made = choice_evaluation_create(actor=bob, candidate=candidate, order_seed=3, limit=ROWS)
    assert evaluation_start(actor=bob, evaluation=made)
    return made


def after_a_slice(evaluation: Evaluation) -> Evaluation:
    tasks.evaluation_slice(evaluation.pk)
    return Evaluation.objects.get(pk=evaluation.pk)


def refuse_the_first(candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client whose first call is refused for its key, which no other attempt mends."""
    calls = iter(range(1000))

    def refuse() -> None:
        if next(calls) == 0:
            raise Auth("The key is wrong.", status=401)

    client = Client(before=refuse)
    serve(monkeypatch, candidate, client)
    return client


def test_without_any_answer_it_fails_with_the_reason_and_a_retry_asks_everything_again(
    candidate: Candidate, evaluation: Evaluation, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ConnectionFailed("Nothing listens there.", sent=False)

    serve(monkeypatch, candidate, Client(before=refuse), deadline_seconds=0)
    failed = after_a_slice(evaluation)
    assert (failed.status, failed.done, failed.outputs.count()) == (JobStatus.FAILED, 0, 0)
    assert f"{ROWS} of {ROWS} answers never came" in failed.error
    assert "Nothing listens there." in failed.error

    serve(monkeypatch, candidate, Client())
    jobs.job_resume(actor=bob, row=failed)
    assert after_a_slice(evaluation).status == JobStatus.SUCCEEDED
    assert (evaluation.outputs.count(), Score.objects.count()) == (ROWS, 3 * ROWS)
    assert selectors.held_total() == 0


def test_what_is_chosen_by_must_have_answered_everything_and_a_retry_asks_for_the_rest_alone(
    candidate: Candidate, evaluation: Evaluation, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "DROPPED_SHARE", 0.5)
    client = refuse_the_first(candidate, monkeypatch)
    failed = after_a_slice(evaluation)
    kept = set(evaluation.outputs.values_list("pk", flat=True))
    assert (failed.status, failed.done, len(kept)) == (JobStatus.FAILED, ROWS - 1, ROWS - 1)
    assert failed.error_kept == f"{ROWS - 1} outputs are stored."
    assert "The key is wrong." in failed.error

    jobs.job_resume(actor=bob, row=failed)
    assert after_a_slice(evaluation).status == JobStatus.SUCCEEDED
    assert kept < set(evaluation.outputs.values_list("pk", flat=True))
    assert evaluation.outputs.count() == client.calls == ROWS


def test_a_final_test_bears_few_of_them_unscored(
    candidate: Candidate, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_final(evaluation, monkeypatch, bearable=1 / ROWS)
    refuse_the_first(candidate, monkeypatch)
    assert after_a_slice(evaluation).status == JobStatus.SUCCEEDED
    lost = evaluation.outputs.get(error="infrastructure")
    scores = lost.scores.values_list("value", "unscored_reason")
    assert list(scores) == 3 * [(None, "no answer: infrastructure failed")]


def test_a_final_test_that_lost_more_fails(
    candidate: Candidate, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_final(evaluation, monkeypatch, bearable=0.02)
    refuse_the_first(candidate, monkeypatch)
    assert after_a_slice(evaluation).status == JobStatus.FAILED
    assert not evaluation.outputs.filter(error="infrastructure").exists()


def as_final(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch, *, bearable: float) -> None:
    """The same evaluation as if it were a final test; on six rows one lost answer is more than the real bound."""
    Evaluation.objects.filter(pk=evaluation.pk).update(purpose=Evaluation.Purpose.FINAL)
    monkeypatch.setattr(slices, "DROPPED_SHARE", bearable)
    monkeypatch.setattr(slices, "leaderboard_refresh", lambda **_more: None)
