"""Two people who want the same name at the same moment: one gets it, the other reads a sentence that says so."""

import pytest

from apps.accounts.models import Team, User
from apps.core.errors import Conflict
from apps.core.models import AuditEvent
from apps.core.tests.at_once import second_of_two
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import Dataset, Prompt
from apps.experiments.services.datasets import dataset_create, dataset_rename
from apps.experiments.services.prompts import prompt_create, prompt_update, prompt_version_create
from apps.providers.engine.messages import Message

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


def a_dataset(team: Team, actor: User, name: str) -> Dataset:
    return dataset_create(actor=actor, team=team, name=name, split_seed=7)


def a_prompt(team: Team, actor: User, name: str) -> Prompt:
    spec = PromptSpec(messages=(Message("user", "{{ input }}"),))
    return prompt_create(actor=actor, team=team, name=name, spec=spec).prompt


def test_of_two_datasets_made_under_one_name_the_second_is_refused(team: Team, bob: User, alice: User) -> None:
    with pytest.raises(Conflict, match="has a dataset called Mail already") as refused:
        second_of_two(lambda: a_dataset(team, bob, "Mail"), lambda: a_dataset(team, alice, "Mail"))
    assert (refused.value.code, refused.value.field) == ("name_taken", "name")
    assert Dataset.objects.get().created_by == bob


def test_of_two_datasets_that_get_one_name_the_second_keeps_its_own(team: Team, bob: User, alice: User) -> None:
    one, two = a_dataset(team, bob, "One"), a_dataset(team, bob, "Two")
    with pytest.raises(Conflict, match="has a dataset called Mail already"):
        second_of_two(
            lambda: dataset_rename(actor=bob, dataset=one, name="Mail"),
            lambda: dataset_rename(actor=alice, dataset=two, name=" Mail "),
        )
    assert set(Dataset.objects.values_list("name", flat=True)) == {"Mail", "Two"}
    assert AuditEvent.objects.filter(verb="dataset.renamed").count() == 1


def test_of_two_prompts_that_get_one_name_the_second_keeps_its_own(team: Team, bob: User, alice: User) -> None:
    one, two = a_prompt(team, bob, "One"), a_prompt(team, bob, "Two")
    with pytest.raises(Conflict, match="already a prompt called Mail") as refused:
        second_of_two(
            lambda: prompt_update(actor=bob, prompt=one, name="Mail", description="First"),
            lambda: prompt_update(actor=alice, prompt=two, name="Mail", description="Second"),
        )
    assert refused.value.field == "name"
    assert set(Prompt.objects.values_list("name", "description")) == {("Mail", "First"), ("Two", "")}
    assert AuditEvent.objects.filter(verb__in=["prompt.renamed", "prompt.described"]).count() == 2


def test_of_two_prompts_made_under_one_name_the_second_is_refused(team: Team, bob: User, alice: User) -> None:
    with pytest.raises(Conflict, match="already a prompt called Mail"):
        second_of_two(lambda: a_prompt(team, bob, "Mail"), lambda: a_prompt(team, alice, "Mail"))
    assert Prompt.objects.get().created_by == bob


def test_two_versions_saved_at_once_get_two_numbers(team: Team, bob: User, alice: User) -> None:
    prompt = a_prompt(team, bob, "Mail")

    def save(actor: User, text: str) -> int:
        spec = PromptSpec(messages=(Message("user", text),))
        return prompt_version_create(actor=actor, team=team, name="Mail", spec=spec).number

    assert second_of_two(lambda: save(bob, "A {{ input }}"), lambda: save(alice, "B {{ input }}")) == 3
    assert sorted(prompt.versions.values_list("number", flat=True)) == [1, 2, 3]
