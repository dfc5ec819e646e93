"""A prompt that cannot be made, or does not fit, is the candidate's failure: wrong for its example, and counted."""

import json
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing import selectors
from apps.billing.models import LedgerEntry
from apps.core.artifacts import get_bytes
from apps.core.models import JobStatus
from apps.core.tests.factories import BudgetFactory, PriceFactory
from apps.evaluation import tasks
from apps.evaluation.models import Evaluation, Output
from apps.evaluation.reading import validation_estimate
from apps.evaluation.services.evaluations import choice_evaluation_create, evaluation_start, final_evaluation_create
from apps.evaluation.services.reports import report_create
from apps.evaluation.services.scoring import prompt_failure_store
from apps.evaluation.tests.clients import Client, serve
from apps.experiments import rows
from apps.experiments.engine import templates
from apps.experiments.engine.rows import Example
from apps.experiments.models import Candidate, DatasetVersion, Experiment
from apps.experiments.services.experiments import experiment_register
from apps.experiments.tests.world import add_baseline, add_prompted, experiment_of, prompt_of, version_of
from apps.providers.engine.clients.base import ContextTooLong, GenerateRequest, GenerateResult
from scripts.kill_lib.books import money_problems
from scripts.recompute_lib.checks import check_report

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("empty_cache_memory"),
]


@pytest.fixture(autouse=True)
def prices(team: Team) -> None:
    PriceFactory.create()
    BudgetFactory.create(team=team)


@pytest.fixture
def version(team: Team, bob: User) -> DatasetVersion:
    return version_of(team, bob)


def failing_on(example: Example) -> str:
    """A template that reads well until it meets one input."""
    return f'{{% if input == "{example.input}" %}}{{{{ 1 > input }}}}{{% endif %}}{{{{ input }}}}'


def evaluated(candidate: Candidate, actor: User) -> Evaluation:
    """Every validation row, run to the end."""
    evaluation = choice_evaluation_create(actor=actor, candidate=candidate, order_seed=3, limit=1000)
    evaluation_start(actor=actor, evaluation=evaluation)
    tasks.evaluation_slice(evaluation.pk)
    return Evaluation.objects.get(pk=evaluation.pk)


def assert_only_these_failed(evaluation: Evaluation, failed: set[str], code: str, reason: str) -> None:
    """Each failed example is stored once, empty, wrong and with its reason; no other one is touched by it."""
    assert 0 < len(failed) < len(evaluation.example_ids)
    assert (evaluation.status, evaluation.error) == (JobStatus.SUCCEEDED, "")
    assert sorted(evaluation.outputs.values_list("example_id", flat=True)) == sorted(evaluation.example_ids)
    bad = evaluation.outputs.filter(example_id__in=failed)
    assert set(bad.values_list("text", "error", "cost_nanousd", "latency_ms")) == {("", code, 0, None)}
    assert all(reason in output.error_text for output in bad)
    assert set(bad.values_list("scores__value", flat=True)) == {0.0}
    assert set(evaluation.outputs.exclude(example_id__in=failed).values_list("error", flat=True)) == {""}
    assert validation_estimate(evaluation).n == len(evaluation.example_ids)
    assert selectors.held_total() == 0
    assert [*selectors.ledger_balance_problems(), *money_problems()] == []


def test_an_input_on_which_the_template_fails_is_wrong_and_calls_nothing(
    team: Team, bob: User, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = rows.validation_rows(version)[0]
    prompt = prompt_of(team, bob, failing_on(doomed))
    candidate = add_prompted(experiment_of(version, bob), bob, prompt_version=prompt)
    client = Client(doomed.expected)
    serve(monkeypatch, candidate, client)

    evaluation = evaluated(candidate, bob)

    assert_only_these_failed(evaluation, {doomed.id}, Output.PROMPT_FAILED, "a number stands where a text is needed")
    assert evaluation.outputs.get(example_id=doomed.id).reservation is None
    assert client.calls == LedgerEntry.objects.count() == len(evaluation.example_ids) - 1
    assert evaluation.done == evaluation.total


def test_a_prompt_with_too_many_characters_is_wrong_for_its_example_alone(
    bob: User, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {row.id: len(row.input) for row in rows.validation_rows(version)}
    limit = sorted(lengths.values())[len(lengths) // 2]
    monkeypatch.setattr(templates, "MAX_RENDERED_CHARACTERS", limit)
    candidate = add_prompted(experiment_of(version, bob), bob)
    serve(monkeypatch, candidate, Client())

    evaluation = evaluated(candidate, bob)

    too_long = {id_ for id_, length in lengths.items() if length > limit}
    assert_only_these_failed(evaluation, too_long, Output.PROMPT_FAILED, f"more than {limit} characters")


class SmallContext(Client):
    """Refuses, as a local model does, what its context does not hold."""

    def __init__(self, *texts: str, most: int) -> None:
        super().__init__(*texts)
        self.most = most

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        if len(request.messages[-1].content) > self.most:
            raise ContextTooLong("Prompt and answer do not fit the model's context.", status=400)
        return await super().generate(request)


def test_a_prompt_beyond_the_models_context_is_wrong_for_its_example_alone(
    bob: User, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {row.id: len(row.input) for row in rows.validation_rows(version)}
    limit = sorted(lengths.values())[len(lengths) // 2]
    candidate = add_prompted(experiment_of(version, bob), bob)
    serve(monkeypatch, candidate, SmallContext(most=limit))

    evaluation = evaluated(candidate, bob)

    too_long = {id_ for id_, length in lengths.items() if length > limit}
    assert_only_these_failed(evaluation, too_long, "context_too_long", "do not fit the model's context")
    # The refusal was an answer: each call has its one entry, that of a refused one of nothing.
    assert LedgerEntry.objects.filter(kind="settled").count() == len(evaluation.example_ids)
    assert LedgerEntry.objects.filter(amount_nanousd=0).count() == len(too_long)


def test_an_output_that_nobody_paid_for_and_nobody_excuses_is_found(
    bob: User, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = add_prompted(experiment_of(version, bob), bob)
    serve(monkeypatch, candidate, Client())
    evaluation = evaluated(candidate, bob)

    first = evaluation.outputs.order_by("pk")[0]
    evaluation.outputs.filter(pk=first.pk).update(error=Output.PROMPT_FAILED)
    assert money_problems() == ["1 outputs that no call made have a reservation"]
    evaluation.outputs.filter(pk=first.pk).update(error="", reservation=None)
    assert money_problems() == [
        "1 outputs without exactly one settled entry",
        "1 settled entries without an output",
    ]


# --- a whole experiment


@pytest.fixture
def doomed(team: Team, bob: User, version: DatasetVersion) -> Example:
    """A test row; seen here alone, through an experiment of its own."""
    return next(row for row in rows._all(version) if row.split == "test")


@pytest.fixture
def finished(
    team: Team, bob: User, version: DatasetVersion, doomed: Example, monkeypatch: pytest.MonkeyPatch
) -> Experiment:
    """A lookup as reference, and a prompted candidate whose prompt fails on one test row."""
    experiment = experiment_of(version, bob)
    reference = add_baseline(experiment, bob, "token_lookup")
    prompted = add_prompted(experiment, bob, prompt_version=prompt_of(team, bob, failing_on(doomed)))
    experiment = experiment_register(actor=bob, experiment=experiment, reference=reference)
    serve(monkeypatch, prompted, Client('{"city":"Town1"}', '{"city":"Town2"}', "no JSON"))
    for candidate in experiment.candidates.order_by("position"):
        evaluation = final_evaluation_create(actor=bob, candidate=candidate, order_seed=3)
        evaluation_start(actor=bob, evaluation=evaluation)
        tasks.evaluation_slice(evaluation.pk)
    report_create(actor=bob, experiment=experiment, training={}, seconds={}, memory_mib={"peak_pss": 1}, versions={})
    experiment.refresh_from_db()
    return experiment


def test_the_report_counts_the_failure_as_a_wrong_answer_and_can_be_recomputed(
    finished: Experiment, doomed: Example
) -> None:
    report: dict[str, Any] = json.loads(get_bytes(finished.report_artifact))
    (row,) = [row for row in report["candidates"] if row["name"] == "Prompted"]
    (output,) = [output for output in row["outputs"] if output["example"] == doomed.id]

    assert (output["text"], output["valid"], output["exact"], output["error"]) == ("", False, False, None)
    assert output["failure"] == Output.PROMPT_FAILED
    assert output["cost_nanousd"] is None
    assert row["cost"]["n"] == len(report["examples"]) - 1
    assert row["metrics"]["field_f1"]["n"] == len(report["examples"])
    assert row["metrics"]["field_f1"]["dropped"] == 0
    ledger = check_report(report)
    assert [*ledger.problems, *ledger.disagreements] == []


def test_the_pages_say_why_there_is_no_answer(
    finished: Experiment, doomed: Example, bob: User, team: Team, client: Browser
) -> None:
    client.force_login(bob)

    def text(name: str, *args: Any) -> str:
        response = client.get(reverse(name, args=[team.slug, *args]))
        assert response.status_code == 200
        return response.content.decode()

    for page in (text("experiment_outputs", finished.uid), text("experiment_output", finished.uid, doomed.id)):
        assert "The prompt cannot be rendered: a number stands where a text is needed" in page
        assert "No answer" in page
    assert "no answer came" in text("experiment_output", finished.uid, doomed.id)
    assert "1 example has no answer of Prompted" in text("experiment", finished.uid)
    evaluation = finished.evaluations.get(candidate__name="Prompted")
    assert "a number stands where a text is needed" in text("evaluation", evaluation.uid)


def test_a_failure_stored_by_two_workers_is_kept_once(
    team: Team, bob: User, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = rows.validation_rows(version)[0]
    candidate = add_prompted(experiment_of(version, bob), bob, prompt_version=prompt_of(team, bob, failing_on(doomed)))
    serve(monkeypatch, candidate, Client())
    evaluation = evaluated(candidate, bob)

    prompt_failure_store(actor=None, evaluation=evaluation, example=doomed, repeat=0, reason="again")

    output = evaluation.outputs.get(example_id=doomed.id)
    assert "again" not in output.error_text
    assert output.scores.count() == 3
