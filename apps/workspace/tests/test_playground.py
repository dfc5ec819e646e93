"""The playground without a script: candidates beside each other, each with its answer, its cost or its refusal."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing import selectors, services
from apps.billing.generating import forget_models
from apps.billing.models import LedgerEntry
from apps.billing.tests.provider_world import GPT, commercial_model, provider_key
from apps.core.tests.factories import LanguageModelFactory, TrainingRunFactory
from apps.core.tests.pressing import Walker
from apps.experiments import rows
from apps.experiments.engine.rows import Example
from apps.experiments.models import Candidate, DatasetVersion, PromptVersion
from apps.experiments.tests.world import experiment_of, version_of
from apps.feedback.models import Feedback
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply
from apps.training.device import lease_take
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_cache_memory")]
TEXT = "Hello there, how are you?"
SEND, LINK = "Send to all", "Make a link"


@pytest.fixture
def upstream() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def model(team: Team, upstream: FakeProvider, settings: Any) -> LanguageModel:
    forget_models()
    return commercial_model(provider_key(team, upstream, settings))


@pytest.fixture
def walker(team: Team, bob: User, model: LanguageModel) -> Walker:
    """Bob, who may edit, with two candidates in front of him."""
    made = Walker(bob)
    made.open(reverse("playground", args=[team.slug]))
    return made


def press(walker: Walker, button: str, **typed: Any) -> None:
    """Press a button with both candidates on the model whose server runs beside the tests."""
    ours = str(LanguageModel.objects.get(served_name=f"openai/{GPT}").uid)
    walker.press(button, **{"0-model": ours, "1-model": ours, **typed})


def answers_of(run: PlaygroundRun) -> list[PlaygroundAnswer]:
    return list(run.answers.order_by("number"))


def test_all_candidates_answer_beside_each_other_with_what_they_cost(
    walker: Walker, team: Team, bob: User, upstream: FakeProvider
) -> None:
    upstream.script(Reply("First answer"), Reply("Second answer"))
    press(
        walker,
        SEND,
        **{
            "input": "Say hello to me",
            "0-content": ["Be brief.", "{{ input }}"],
            "1-content": ["", "Dear {{ input }}"],
            "1-temperature": "0.5",
        },
    )
    run = PlaygroundRun.objects.get()
    assert walker.path == reverse("playground_run", args=[team.slug, run.uid])
    assert "First answer" in walker.text
    assert "Second answer" in walker.text
    assert {str(seen.body).count("Be brief.") for seen in upstream.requests} == {0, 1}
    entries = {entry.uid: entry for entry in LedgerEntry.objects.filter(person=bob)}
    for answer in answers_of(run):
        entry = entries.pop(answer.generation_uid)
        assert (answer.cost_nanousd, answer.completion_tokens) == (entry.amount_nanousd, entry.completion_tokens)
        assert answer.cost_nanousd > 0
        assert str(answer.generation_uid) in walker.text
    assert entries == {}
    # The second differs from the first in one word, and the page shows it.
    assert [each.text_content() for each in walker.main.xpath(".//del | .//ins")] == ["First", "Second"] or [
        each.text_content() for each in walker.main.xpath(".//del | .//ins")
    ] == ["Second", "First"]


def test_a_budget_refuses_one_column_with_both_numbers_and_leaves_the_other_alone(
    walker: Walker, team: Team, alice: User, upstream: FakeProvider
) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=1_000_000)
    press(walker, SEND, **{"input": "Hello", "0-max_tokens": "16", "1-max_tokens": "4000"})
    first, second = answers_of(PlaygroundRun.objects.get())
    assert (first.text, first.error) == (TEXT, "")
    assert (second.text, second.error_code) == ("", "budget_exceeded")
    assert "is spent" in second.error
    assert "held" in second.error
    assert second.error in walker.text
    assert len(upstream.requests) == 1


def test_the_cost_is_said_before_anything_is_sent(walker: Walker, upstream: FakeProvider) -> None:
    assert "Sending costs about" in walker.text
    assert "Sends text to OpenAI" in walker.text
    assert upstream.requests == []


def test_the_same_question_at_temperature_zero_costs_nothing_again(walker: Walker, upstream: FakeProvider) -> None:
    press(walker, SEND, input="Hello", **{"1-max_tokens": "17"})
    press(walker, SEND)
    assert len(upstream.requests) == 2
    assert "stored answer, saved" in walker.text
    # Neither what came whole nor what was stored has a time to a first piece.
    assert "first piece" not in walker.text
    assert {answer.cost_nanousd for answer in answers_of(PlaygroundRun.objects.latest("id"))} == {0}


def test_a_changed_form_says_that_its_answers_are_older(walker: Walker) -> None:
    press(walker, SEND, input="Hello")
    assert "before you changed this" not in walker.text
    press(walker, "Add a candidate", input="Hello again")
    assert walker.text.count("before you changed this") == 2
    assert walker.text.count(TEXT) >= 2
    assert "No answer yet" in walker.text


def test_an_input_is_wanted_and_a_wrong_prompt_is_named_before_anything_is_sent(
    walker: Walker, upstream: FakeProvider
) -> None:
    press(walker, SEND)
    assert walker.status == 422
    assert "Write an input" in walker.text
    press(walker, SEND, **{"input": "Hello", "1-content": ["", "{{ inputt }}"]})
    assert "Candidate B: User: Line 1, column 4: 'inputt' is undefined. Did you mean 'input'?" in walker.text
    assert (upstream.requests, PlaygroundRun.objects.count()) == ([], 0)


def test_a_link_brings_everything_back_for_whoever_may_look_and_sends_nothing(
    walker: Walker, team: Team, vera: User, upstream: FakeProvider
) -> None:
    press(
        walker, LINK, **{"input": "Say hello to me", "0-content": ["Be brief.", "{{ input }}"], "0-temperature": "0.7"}
    )
    visitor = Walker(vera)
    visitor.open(walker.path)
    values = dict(visitor.page.xpath("//form[@id='playground-form']")[0].fields)
    assert values["input"] == "Say hello to me"
    assert values["0-temperature"] == "0.7"
    assert "Be brief." in visitor.page.xpath("//textarea[@name='0-content']/text()")
    assert not visitor.main.xpath(".//button[@type='submit']")
    assert "You may look." in visitor.text
    assert upstream.requests == []


# --- examples


@pytest.fixture
def version(team: Team, bob: User) -> DatasetVersion:
    return version_of(team, bob, count=40)


def test_an_example_is_asked_with_its_expected_answer_beside_it(version: DatasetVersion, walker: Walker) -> None:
    row, following = rows.validation_rows(version)[:2]
    walker.reload()
    press(walker, "Use this row", dataset=str(version.uid), split="validation", row="1")
    assert walker.main.xpath(".//textarea[@name='input']")[0].value.strip() == row.input
    assert row.expected in walker.text
    press(walker, SEND)
    assert PlaygroundRun.objects.get().setup["example"]["row"] == row.id
    assert "Expected answer" in walker.text
    press(walker, "Next row")
    assert following.expected in walker.text


def test_a_locked_test_row_is_never_an_example(version: DatasetVersion, walker: Walker, team: Team) -> None:
    locked = _test_row(version)
    walker.reload()
    press(walker, "Use this row", dataset=str(version.uid), split="validation")
    # Not even by the id of one.
    sent = {"do": "link", "input": locked.input, "dataset": str(version.uid), "example": locked.id, "candidate": "0"}
    answer = walker.client.post(
        reverse("playground", args=[team.slug]),
        {**sent, **_candidate(LanguageModel.objects.get()), "csrfmiddlewaretoken": _token(walker)},
    )
    assert answer.status_code == 302
    assert "example" not in PlaygroundRun.objects.get().setup
    walker.open(answer["Location"])
    assert locked.expected not in walker.text


def _test_row(version: DatasetVersion) -> Example:
    return next(row for row in rows._all(version) if row.split == "test")


def _token(walker: Walker) -> str:
    return str(walker.page.xpath("//form[@id='playground-form']//input[@name='csrfmiddlewaretoken']/@value")[0])


def _candidate(model: LanguageModel) -> dict[str, Any]:
    return {
        "0-model": str(model.uid),
        "0-role": ["user"],
        "0-content": ["{{ input }}"],
        "0-max_tokens": "16",
        "0-temperature": "0",
    }


# --- keeping


def test_what_was_written_becomes_a_prompt_version_and_then_a_candidate(
    walker: Walker, version: DatasetVersion, bob: User, model: LanguageModel
) -> None:
    draft = experiment_of(version, bob)
    walker.reload()
    press(
        walker,
        "Save as prompt version",
        name="Greeting",
        **{"input": "Hello", "0-content": ["Be brief.", "{{ input }}"]},
    )
    made = PromptVersion.objects.get()
    assert (made.prompt.name, made.number, made.messages[0]["content"]) == ("Greeting", 1, "Be brief.")
    assert f"{made} says what candidate A does." in walker.text

    press(
        walker,
        "Add to experiment",
        experiment=str(draft.uid),
        keep="0",
        **{"0-prompt": str(made.uid), "0-content": ["Be very brief.", "{{ input }}"], "0-max_tokens": "33"},
    )
    added = Candidate.objects.get(experiment=draft)
    assert (added.language_model, added.prompt_version.prompt, added.prompt_version.number) == (model, made.prompt, 2)
    assert added.parameters["max_tokens"] == 33
    assert f"Candidate A is in {draft.name}" in walker.text
    press(walker, "Add to experiment", experiment=str(draft.uid), **{"0-prompt": str(made.uid)})
    assert "has this candidate already" in walker.text


# --- votes


def test_the_better_answer_is_kept_as_feedback_on_the_generations_and_can_be_changed(
    walker: Walker, vera: User, bob: User, upstream: FakeProvider
) -> None:
    upstream.script(Reply("One answer"), Reply("Another answer"))
    press(walker, SEND, input="Hello", **{"1-max_tokens": "17"})
    first, second = answers_of(PlaygroundRun.objects.get())
    walker.press("B is better")
    said = Feedback.objects.get()
    assert (said.kind, said.person, said.preferred.uid) == ("choice", bob, second.generation_uid)
    assert {said.generation.uid, said.other.uid} == {first.generation_uid, second.generation_uid}
    assert "You said: B." in walker.text
    walker.press("A is better")
    assert Feedback.objects.get().preferred.uid == first.generation_uid
    assert "You said: A." in walker.text
    # Whoever may look may say it too, for themselves.
    visitor = Walker(vera)
    visitor.open(walker.path)
    assert "You said" not in visitor.text
    visitor.press("B is better")
    assert "You said: B." in visitor.text
    assert Feedback.objects.count() == 2
    # And take it back, for themselves alone.
    visitor.press("Withdraw your vote")
    assert "You said" not in visitor.text
    assert [each.person for each in Feedback.objects.all()] == [bob]
    # Nothing is asked about an answer to something else.
    walker.press("Add a candidate", input="Hello again")
    assert "is better" not in walker.text


# --- what stands in the way


def test_a_model_without_a_key_says_so_with_the_way_out_and_is_not_asked(
    walker: Walker, model: LanguageModel, team: Team, upstream: FakeProvider
) -> None:
    press(walker, LINK, input="Hello")
    LanguageModel.objects.update(provider_key=None)
    forget_models()
    walker.reload()
    assert "It needs a key for OpenAI." in walker.text
    assert reverse("provider_keys", args=[team.slug]) in {link.get("href") for link in walker.links()}
    press(walker, SEND)
    assert {answer.error_code for answer in answers_of(PlaygroundRun.objects.latest("id"))} == {"provider_key_missing"}
    assert upstream.requests == []


def test_models_that_run_here_are_said_to_be_slow_while_the_machine_trains(walker: Walker, team: Team) -> None:
    assert "This machine is training" not in walker.text
    here = LanguageModelFactory.create(team=team)
    assert lease_take(TrainingRunFactory.create(team=team))
    walker.reload()
    press(walker, "Add a candidate", **{"0-model": str(here.uid)})
    assert "This machine is training" in walker.text


def test_what_belongs_to_another_team_is_not_found(
    walker: Walker, team: Team, other_team: Team, client: Client, bob: User
) -> None:
    theirs = LanguageModelFactory.create(team=other_team)
    client.force_login(bob)
    page = reverse("playground", args=[team.slug])
    sent = {"do": "send", "input": "Hello", "candidate": "0", **_candidate(theirs)}
    answer = client.post(page, sent)
    assert answer.status_code == 422
    assert "There is no such model here." in answer.content.decode()
    experiment = {**sent, **_candidate(LanguageModel.objects.get(served_name=f"openai/{GPT}")), "do": "experiment"}
    assert client.post(page, {**experiment, "name": "X", "experiment": str(theirs.uid)}).status_code == 404
    assert (PlaygroundRun.objects.count(), LedgerEntry.objects.count(), PromptVersion.objects.count()) == (0, 0, 0)
    assert selectors.ledger_balance_problems() == []
