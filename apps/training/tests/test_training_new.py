"""The pages around a new run: form, preflight, start, trained tokens, list."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.models import JobStatus
from apps.core.tests.factories import (
    DatasetVersionFactory,
    LanguageModelFactory,
    MembershipFactory,
    PreflightFactory,
    PromptVersionFactory,
    TrainingRunFactory,
)
from apps.experiments import rows
from apps.experiments.models import PromptVersion
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.training.engine.tokens import readable
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import PRESETS, spec_of
from apps.training.runlist import Prediction
from apps.training.tests.plans import pairs, prompt_for, tiny_base, version_with

pytestmark = pytest.mark.django_db


@pytest.fixture
def base(team: Team) -> LanguageModel:
    return tiny_base(team)


@pytest.fixture
def page(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def address(team: Team, name: str = "training_new", *args: Any) -> str:
    return reverse(name, args=[team.slug, *args])


def values(team: Team, actor: User, base: LanguageModel, **changes: Any) -> dict[str, Any]:
    return {
        "dataset_version": str(version_with(team, actor, pairs(60)).uid),
        "base_model": str(base.uid),
        "prompt_version": str(prompt_for(team, actor).uid),
        "method": "lora",
        "preset": "quick",
        **changes,
    }


def test_a_team_with_nothing_is_told_what_comes_first(page: Client, team: Team, base: LanguageModel, bob: User) -> None:
    assert "There is no dataset to train on" in page.get(address(team)).content.decode()
    version_with(team, bob, pairs(60))

    text = page.get(address(team)).content.decode()

    assert "The input alone (makes a prompt that says nothing else)" in text
    assert "1 epoch, learning rate 0.001, rank 8 in the upper half of the layers, at most 200 examples" in text
    assert "Not checked yet" in text
    assert "<c-" not in text


def test_rows_computed_at_once_are_chosen_for_want_of_memory(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    answer = page.post(address(team), values(team, bob, base, rows_a_pass="2"))

    spec = Preflight.objects.get().spec
    assert (spec["batch_size"], spec["accumulation"]) == (2, 4)
    assert "rows_a_pass=2" in answer["Location"]


def test_check_asks_for_the_preflight_and_shows_it_at_an_address_of_its_own(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    data = values(team, bob, base, name="Mine", max_examples="20")

    answer = page.post(address(team), data)

    row = Preflight.objects.get()
    assert (row.status, row.limits) == (JobStatus.QUEUED, {"max_examples": 20})
    assert row.spec == spec_of("lora", PRESETS["quick"], base)
    assert answer.status_code == 302
    text = page.get(answer["Location"]).content.decode()
    assert "First in the queue" in text
    assert 'value="Mine"' in text
    assert "Cancel job" in text


def test_a_team_without_a_prompt_gets_one_that_says_nothing_else(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    page.post(address(team), values(team, bob, base, prompt_version="new"))

    made = Preflight.objects.get().prompt_version
    assert made.messages == [{"role": "user", "content": "{{ input }}"}]


def test_a_form_that_says_nothing_is_shown_again_with_what_is_missing(page: Client, team: Team, bob: User) -> None:
    answer = page.post(address(team), {"max_examples": "0"})

    assert answer.status_code == 422
    assert not Preflight.objects.exists()


def test_a_prompt_whose_last_message_is_not_the_users_is_not_offered(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    odd = PromptVersionFactory.create(
        prompt__team=team, prompt__name="Odd", messages=[{"role": "assistant", "content": "Yes."}]
    )

    answer = page.post(address(team), values(team, bob, base, prompt_version=str(odd.uid)))

    assert answer.status_code == 422
    assert f'value="{odd.uid}"' not in page.get(address(team)).content.decode()


@pytest.mark.parametrize("name", ["dataset_version", "base_model", "prompt_version", "preset"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_another_teams_does_not_exist_here(
    page: Client, team: Team, other_team: Team, base: LanguageModel, bob: User, name: str, method: str
) -> None:
    theirs = {
        "dataset_version": DatasetVersionFactory.create(dataset__team=other_team).uid,
        "base_model": LanguageModelFactory.create(team=other_team).uid,
        "prompt_version": PromptVersionFactory.create(prompt__team=other_team).uid,
        "preset": f"run:{TrainingRunFactory.create(team=other_team).uid}",
    }
    data = {**values(team, bob, base), name: str(theirs[name])}

    assert getattr(page, method)(address(team), data).status_code == 404
    if name != "preset":
        assert page.get(address(team, "training_tokens"), data).status_code == 404
    assert not Preflight.objects.exists()


@pytest.mark.parametrize("uid", ["no-uuid", "'", "7bc37b82-8716-492b-a17e-46292c266cff"])
def test_an_id_that_names_nothing_is_not_found(page: Client, team: Team, uid: str) -> None:
    assert page.get(address(team), {"base_model": uid}).status_code == 404


def test_another_teams_preflight_is_neither_shown_nor_started(page: Client, team: Team, other_team: Team) -> None:
    row = PreflightFactory.create(team=other_team, status=JobStatus.SUCCEEDED, result={"refusals": []})

    assert page.get(address(team, "training_preflight", row.uid)).status_code == 404
    for name in ("preflight_start", "preflight_again"):
        assert page.post(address(team, name, row.uid)).status_code == 404
    assert not TrainingRun.objects.exists()


MEASURED = {
    "examples": 40, "total_steps": 5, "trained_tokens": 900, "tokens": 2400, "memory_mib": 700, "available_mib": 9000,
    "seconds_low": 60.0, "seconds_high": 80.0, "cut": {"train": 0, "validation": 0, "rows": []}, "refusals": [],
    "steps": [{"percentile": 25, "size": {"cells": 300, "pass_cells": 150}, "seconds": 1.5, "peak_mib": 600.0}],
}  # fmt: skip


def test_only_what_was_measured_and_allowed_can_be_started(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    location = page.post(address(team), values(team, bob, base, name="Mine"))["Location"]
    start = address(team, "preflight_start", Preflight.objects.get().uid)
    page.post(start, {"name": "Mine"})
    assert not TrainingRun.objects.exists()
    assert f'action="{start}"' not in page.get(location).content.decode()
    Preflight.objects.update(status=JobStatus.SUCCEEDED, result=MEASURED)

    text = page.get(location).content.decode()

    assert "This run can start" in text
    assert "60–80 s" in text
    assert "assumed price" in text
    assert f'action="{start}"' in text
    answer = page.post(start, {"name": "Mine"})
    run = TrainingRun.objects.get()
    assert answer["Location"] == address(team, "training_run", run.uid)
    assert (run.name, run.status, run.predicted_low) == ("Mine", JobStatus.QUEUED, 60.0)


def test_a_changed_form_shows_that_it_was_not_measured(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    data = values(team, bob, base)
    page.post(address(team), data)
    Preflight.objects.update(status=JobStatus.SUCCEEDED, result=MEASURED)
    part = {"HTTP_HX_REQUEST": "true"}

    same = page.get(address(team), {**data, "part": "panel"}, **part).content.decode()
    other = page.get(address(team), {**data, "preset": "thorough", "part": "panel"}, **part).content.decode()

    assert "<html" not in same + other
    assert "This run can start" in same
    assert "Not checked yet" in other


def test_a_refusal_says_why_what_would_do_and_links_to_the_rows(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    location = page.post(address(team), values(team, bob, base))["Location"]
    refusal = {
        "code": "cut_answers",
        "says": {"template": "%(count)s answers would be cut.", "params": {"count": 3}},
        "fits": {"template": "A shorter prompt would do.", "params": {}},
        "rows": ["abc"],
    }
    Preflight.objects.update(status=JobStatus.SUCCEEDED, result={**MEASURED, "refusals": [refusal]})

    text = page.get(location).content.decode()

    assert "3 answers would be cut." in text
    assert "A shorter prompt would do." in text
    assert "&amp;row=abc" in text
    assert "This run can start" not in text


# --- the list, the run, its clone


def test_the_list_says_who_comes_first(page: Client, team: Team, bob: User) -> None:
    for name in ("One", "Two"):
        TrainingRunFactory.create(team=team, name=name, created_by=bob, status=JobStatus.QUEUED)

    text = page.get(address(team, "training_runs")).content.decode()

    assert "First in the queue" in text
    assert "Second in the queue" in text
    assert "Pause job" in text
    assert "<c-" not in text


def test_a_clone_is_the_same_form_again(page: Client, team: Team, base: LanguageModel, bob: User) -> None:
    data = values(team, bob, base, preset="thorough", max_minutes="30", leave_out_long="1")
    page.post(address(team), data)
    row = Preflight.objects.get()
    run = TrainingRunFactory.create(
        team=team, created_by=bob, base_model=base, dataset_version=row.dataset_version, spec=row.spec,
        prompt_version=row.prompt_version, limits={**row.limits, "max_examples": 17},
    )  # fmt: skip

    text = page.get(address(team, "training_run", run.uid)).content.decode()

    for part in ("preset=thorough", "max_minutes=30", "leave_out_long=1", f"base_model={base.uid}"):
        assert part in text
    assert "max_examples" not in text.split("training/new/?")[1].split('"')[0]


def test_a_run_of_no_preset_is_cloned_with_its_own_numbers(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    spec = {"method": "lora", "epochs": 5, "learning_rate": 0.002}
    run = TrainingRunFactory.create(team=team, name="Odd one", created_by=bob, base_model=base, spec=spec)
    data = values(team, bob, base, preset=f"run:{run.uid}")

    assert "As in the run Odd one" in page.get(address(team), data).content.decode()
    page.post(address(team), data)
    assert Preflight.objects.get().spec == spec


def test_a_prediction_is_judged_by_its_middle() -> None:
    assert [Prediction(60, 80, checked=True, took=took).within for took in (None, 70.0, 56.0, 55.0, 94.0)] == [
        None, True, True, False, False,
    ]  # fmt: skip


def test_a_finished_run_says_what_was_predicted_and_what_it_took(page: Client, team: Team, bob: User) -> None:
    run = TrainingRunFactory.create(
        team=team, created_by=bob, status=JobStatus.SUCCEEDED, predicted_low=360, predicted_high=480,
        result={"step": 9, "phase_seconds": {"train": 400, "merge": 20}},
    )  # fmt: skip

    text = page.get(address(team, "training_run", run.uid)).content.decode()

    assert "6–8 min" in text
    assert "took 7 min, as predicted" in text
    assert "Use this model" in text
    assert "Clone run" in text


def test_a_viewer_reads_and_presses_nothing(client: Client, team: Team, vera: User, base: LanguageModel) -> None:
    client.force_login(vera)
    run = TrainingRunFactory.create(team=team, status=JobStatus.QUEUED)
    row = PreflightFactory.create(team=team, status=JobStatus.SUCCEEDED, result=MEASURED)

    text = "".join(
        client.get(address(team, name, *args)).content.decode()
        for name, *args in (("training_runs",), ("training_run", run.uid), ("training_preflight", row.uid))
    )

    assert "Clone run" not in text
    assert f"preflights/{row.uid}/start" not in text
    assert client.get(address(team)).status_code == 403
    assert client.post(address(team), {}).status_code == 403


# --- trained tokens


def test_tokens_of_a_row_are_what_the_trainer_sees(page: Client, team: Team, base: LanguageModel, bob: User) -> None:
    data = values(team, bob, base)

    shown = page.get(address(team, "training_tokens"), data)

    text = shown.content.decode()
    facts = shown.context["facts"]
    states = [(token.state, token.id) for stretch in facts.stretches for token in stretch.tokens]
    assert facts.counts["trained"] == sum(state == "trained" for state, _id in states) > 0
    assert [state for state, _id in states][-1] == "trained"
    assert "not trained:" in text
    assert "Next row" in text
    assert "Previous row" not in text
    last = page.get(address(team, "training_tokens"), {**data, "place": "9999"}).context["facts"]
    assert (last.number, last.next, last.example.split) == (last.total, 0, "validation")
    assert "<c-" not in text


def test_a_validation_row_is_shown_and_a_test_row_is_not(
    page: Client, team: Team, base: LanguageModel, bob: User
) -> None:
    version = version_with(team, bob, pairs(60), name="Others")
    data = {**values(team, bob, base), "dataset_version": str(version.uid)}
    validation = rows.validation_rows(version)[0]

    text = page.get(address(team, "training_tokens"), {**data, "row": validation.id}).content.decode()

    assert "Validation row" in text
    hidden = rows.test_ids(version)[0]
    assert page.get(address(team, "training_tokens"), {**data, "row": hidden}).status_code == 404


def test_what_does_not_fit_is_shown_as_cut(page: Client, team: Team, bob: User) -> None:
    small = tiny_base(team, name="small", positions=64)
    long = Message(role="system", content="word " * 40), Message(role="user", content="{{ input }}")
    prompt: PromptVersion = prompt_for(team, bob, *long, name="Long")
    data = {**values(team, bob, small), "prompt_version": str(prompt.uid)}

    shown = page.get(address(team, "training_tokens"), data)

    assert shown.context["facts"].counts["cut"] > 0
    assert "would be lost" in shown.content.decode()


@pytest.mark.parametrize(
    ("name", "text"),
    [("Ġthe", " the"), ("Ċ", "\n"), ("▁the", " the"), ("<|im_end|>", "<|im_end|>"), ("Ã", "\\xc3"), ("Ã¤", "ä")],
)
def test_a_vocabulary_entry_reads_as_the_text_it_stands_for(name: str, text: str) -> None:
    assert readable(name) == text


def test_a_member_of_another_team_finds_nothing(client: Client, team: Team, other_team: Team) -> None:
    stranger = MembershipFactory.create(team=other_team).user
    client.force_login(stranger)

    for name in ("training_runs", "training_new", "training_tokens"):
        assert client.get(address(team, name)).status_code == 404
