"""A commercial model beside free baselines: estimated before, metered while tested, and priced in the report."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team
from apps.billing import selectors
from apps.billing.models import LedgerEntry
from apps.billing.tests.provider_world import commercial_model, provider_key
from apps.evaluation.models import Output
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import DatasetVersion
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import KEY, FakeProvider, Reply
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.definition import read_definition
from apps.workspace.quickstart.sequence import steps_of
from apps.workspace.tests.test_drafts import (
    alice,
    at,
    baselines_added,
    demo,
    made,
    name_reference,
    quick,
    version,
    worked,
)

__all__ = ["alice", "demo", "quick", "version"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        # As a model that was shown nothing: valid, and never right.
        running.reply = Reply('{"city":"Nowhere"}')
        yield running


@pytest.fixture
def model(version: DatasetVersion, server: FakeProvider, settings: Any) -> LanguageModel:
    return commercial_model(provider_key(version.dataset.team, server, settings))


def test_a_commercial_model_is_compared_with_a_lookup_and_every_cent_is_accounted_for(
    alice: Client, version: DatasetVersion, model: LanguageModel, server: FakeProvider, quick: None
) -> None:
    experiment = made(alice, version)
    prompt = prompt_version_create(
        actor=experiment.created_by,
        team=experiment.team,
        name="Plain",
        spec=PromptSpec((Message("system", "US address to JSON."), Message("user", "{{ input }}"))),
    )
    baselines_added(alice, experiment, "token_lookup")
    answer = alice.post(
        at("candidates_new", experiment),
        {"models": [str(model.uid)], "prompts": [str(prompt.uid)], "max_tokens": "60", "temperature": "0"},
    )
    assert answer.status_code == 302, answer.content.decode()
    name_reference(alice, experiment, "Token lookup")

    page = alice.get(at("experiment_candidates", experiment)).content.decode()
    assert "The final test will cost about" in page
    alice.post(at("experiment_final_test", experiment))
    worked(ExperimentRun.objects.get(experiment=experiment))

    experiment.refresh_from_db()
    assert experiment.state == "finished"
    paid = LedgerEntry.objects.filter(experiment=experiment, language_model=model)
    assert {entry.kind for entry in paid} == {"settled"}
    outputs = Output.objects.filter(evaluation__experiment=experiment, evaluation__candidate__language_model=model)
    assert paid.count() == outputs.count() == version.test_count == len(server.requests)
    assert sum(entry.amount_nanousd for entry in paid) == sum(output.cost_nanousd for output in outputs) > 0
    assert {entry.person for entry in paid} == {experiment.created_by}
    assert selectors.ledger_balance_problems() == []

    report = alice.get(at("experiment_report_json", experiment)).json()
    ours = next(each for each in report["candidates"] if each["kind"] == "commercial")
    assert ours["cost_assumed"] is False
    assert ours["cost_nanousd_per_1000"] == pytest.approx(
        1000 * sum(entry.amount_nanousd for entry in paid) / version.test_count
    )
    assert "Compare with" not in alice.get(at("experiment", experiment)).content.decode()


def test_the_estimate_before_holds_what_it_then_cost(
    alice: Client, version: DatasetVersion, model: LanguageModel, server: FakeProvider
) -> None:
    from apps.experiments.models import Candidate
    from apps.workspace.selectors.estimates import Rates, candidate_estimate

    candidate = Candidate(
        experiment=made(alice, version), language_model=model, parameters={"max_tokens": 60, "temperature": 0}
    )
    estimate = candidate_estimate(candidate, answers=100, rates=Rates())
    assert 0 < estimate.nanousd_low < estimate.nanousd_high < 100 * 60 * 1600 * 2
    assert estimate.unknown == (f"the time of {model.name}",)


# --- a whole experiment on one's own data, and the main job


@pytest.fixture
def operators_key(server: FakeProvider, settings: Any) -> None:
    """A key in the environment that no team has taken up."""
    settings.PROVIDER_API_KEYS = {"openai": KEY, "anthropic": ""}
    settings.PROVIDER_BASE_URLS = {"openai": server.url, "anthropic": ""}


def test_a_plan_with_a_key_proposes_that_providers_model_and_runs_it(
    alice: Client, version: DatasetVersion, server: FakeProvider, operators_key: None, quick: None
) -> None:
    page = reverse("plan", args=[version.dataset.team.slug, version.dataset.uid, version.number])
    shown = alice.get(page)
    text = shown.content.decode()
    assert "Commercial models" in text
    assert "GPT-6 Luna, with the solved examples" in text
    # No answer was ever timed here; what they cost is known all the same.
    assert shown.context["estimate"].nanousd_high > 0
    assert "Cost" in text
    assert "so not counted: the time of GPT-6 Luna" in text
    form = shown.context["form"]
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    assert values["commercial"] is True
    data = {name: value for name, value in values.items() if value not in (None, False)}
    assert alice.post(page, data).status_code == 302

    run = worked(ExperimentRun.objects.get())
    assert run.status == "succeeded", run.error
    assert run.experiment is not None
    ours = run.experiment.candidates.get(kind="commercial")
    assert ours.language_model.provider_key.source == "environment"
    assert ours.parameters["reasoning_effort"] == "none"
    assert {seen.body["model"] for seen in server.requests} == {"gpt-6-luna"}
    assert len(server.requests) == version.test_count


def test_a_budget_that_the_provider_would_exceed_stops_the_run_and_says_so(
    alice: Client, version: DatasetVersion, server: FakeProvider, operators_key: None, quick: None
) -> None:
    page = reverse("plan", args=[version.dataset.team.slug, version.dataset.uid, version.number])
    form = alice.get(page).context["form"]
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data = {name: value for name, value in values.items() if value not in (None, False)}
    alice.post(page, {**data, "budget": "0.0005"})
    run = worked(ExperimentRun.objects.get())
    assert run.status == "failed"
    assert "The budget of the experiment" in run.error
    assert "is held" in run.error
    assert selectors.held_total() == 0
    paid = LedgerEntry.objects.filter(kind="settled", price__unit="token")
    assert sum(entry.amount_nanousd for entry in paid) <= 500_000


def test_without_a_key_or_with_text_that_stays_nothing_is_proposed(
    alice: Client, version: DatasetVersion, server: FakeProvider, settings: Any, operators_key: None
) -> None:
    page = reverse("plan", args=[version.dataset.team.slug, version.dataset.uid, version.number])
    Team.objects.update(text_may_leave=False)
    assert "Commercial models" not in alice.get(page).content.decode()
    Team.objects.update(text_may_leave=True)
    settings.PROVIDER_API_KEYS = {"openai": "", "anthropic": ""}
    assert "Commercial models" not in alice.get(page).content.decode()


def test_the_main_job_has_a_step_for_commercial_models_only_with_a_key(
    demo: tuple[Team, Any], settings: Any, operators_key: None
) -> None:
    team, actor = demo
    run = ExperimentRun(team=team, actor=actor, definition=read_definition())
    assert "commercial" in [step.name for step in steps_of(run)]
    settings.PROVIDER_API_KEYS = {"openai": "", "anthropic": ""}
    assert "commercial" not in [step.name for step in steps_of(run)]
