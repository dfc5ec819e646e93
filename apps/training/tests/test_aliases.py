"""Aliases move between the versions of one task; every move can be taken back, and stays in the audit trail."""

import html
import json
import re
import shlex
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent
from apps.core.tests.factories import ModelVersionFactory, TrainingRunFactory
from apps.providers.models import LanguageModel
from apps.training.models import ModelVersion
from apps.training.services.aliases import model_alias_remove, model_alias_roll_back, model_alias_set

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def versions(team: Team) -> list[ModelVersion]:
    """Three versions of one task."""
    first = TrainingRunFactory.create(team=team)
    runs = [first, *(TrainingRunFactory.create(team=team, dataset_version=first.dataset_version) for _ in range(2))]
    return [ModelVersionFactory.create(run=run, number=number) for number, run in enumerate(runs, 1)]


def aliases(versions: list[ModelVersion]) -> list[list[str]]:
    return [ModelVersion.objects.get(pk=version.pk).aliases for version in versions]


def test_an_alias_names_one_version_of_a_task(bob: User, versions: list[ModelVersion]) -> None:
    for version in versions[:2]:
        model_alias_set(actor=bob, version=version, alias="production")
    assert aliases(versions) == [[], ["production"], []]
    event = AuditEvent.objects.filter(verb="model_version.alias_set").order_by("-id")[0]
    assert (event.facts["alias"], event.facts["before"], event.facts["to"], event.actor) == ("production", 1, 2, bob)


def test_another_task_has_a_production_of_its_own(bob: User, team: Team, versions: list[ModelVersion]) -> None:
    other = ModelVersionFactory.create(run=TrainingRunFactory.create(team=team), number=9)
    for version in (versions[0], other):
        model_alias_set(actor=bob, version=version, alias="production")
    assert aliases([versions[0], other]) == [["production"], ["production"]]


def test_rolling_back_twice_walks_back_twice(bob: User, versions: list[ModelVersion]) -> None:
    for version in versions:
        model_alias_set(actor=bob, version=version, alias="production")
    assert model_alias_roll_back(actor=bob, version=versions[2], alias="production").number == 2
    assert model_alias_roll_back(actor=bob, version=versions[1], alias="production").number == 1
    assert aliases(versions) == [["production"], [], []]
    with pytest.raises(Conflict, match="No version before"):
        model_alias_roll_back(actor=bob, version=versions[0], alias="production")
    assert aliases(versions) == [["production"], [], []]


def test_an_alias_is_removed_once(bob: User, versions: list[ModelVersion]) -> None:
    model_alias_set(actor=bob, version=versions[0], alias="staging")
    model_alias_remove(actor=bob, version=versions[0], alias="staging")
    assert aliases(versions) == [[], [], []]
    with pytest.raises(Conflict, match="no longer has"):
        model_alias_remove(actor=bob, version=versions[0], alias="staging")


@pytest.mark.parametrize("alias", ["", "9lives", "has space", "a" * 41, "x/y"])
def test_a_name_that_is_none_is_refused(bob: User, versions: list[ModelVersion], alias: str) -> None:
    with pytest.raises(ApplicationError, match="begins with a letter"):
        model_alias_set(actor=bob, version=versions[0], alias=alias)


def test_a_viewer_moves_nothing(vera: User, versions: list[ModelVersion]) -> None:
    with pytest.raises(NotAllowed):
        model_alias_set(actor=vera, version=versions[0], alias="production")
    assert aliases(versions) == [[], [], []]


def test_the_page_sets_rolls_back_and_shows_the_history(
    bob: User, team: Team, versions: list[ModelVersion], client: Client
) -> None:
    client.force_login(bob)

    def press(name: str, version: ModelVersion) -> Any:
        url = reverse(name, args=[team.slug, version.language_model.uid])
        return client.post(url, {"alias": "production"}, follow=True)

    press("model_alias", versions[0])
    shown = press("model_alias", versions[1]).content.decode()
    assert "Roll back to version 1" in shown
    back = press("model_alias_back", versions[1])
    assert back.redirect_chain[-1][0].endswith(f"{versions[0].language_model.uid}/")
    assert "by rollback" in back.content.decode()
    url = reverse("model_alias", args=[team.slug, versions[0].language_model.uid])
    kept = client.post(url, {"alias": "has space"}, follow=True).content.decode()
    assert "begins with a letter" in kept
    assert 'value="has space"' in kept
    assert aliases(versions) == [["production"], [], []]


def commands(client: Client, version: ModelVersion) -> list[str]:
    """The names by which the page's commands for the gateway call a model."""
    model = version.language_model
    model.state, model.kind = LanguageModel.State.READY, LanguageModel.Kind.TRAINED
    model.save(update_fields=["state", "kind"])
    page = client.get(reverse("model", args=[version.team.slug, model.uid])).content.decode()
    shown = [html.unescape(text) for text in re.findall(r"<pre [^>]*>(curl [^<]*)</pre>", page)]
    called = [shlex.split(text.replace("\\\n", "")) for text in shown]
    of_gateway = [words for words in called if words[2] == "http://testserver/v1/chat/completions"]
    assert all("Authorization: Bearer $LLMOPT_KEY" in words for words in of_gateway)
    return [json.loads(words[-1])["model"] for words in of_gateway]


def test_the_page_shows_a_command_that_needs_no_change_after_the_next_training(
    bob: User, team: Team, versions: list[ModelVersion], client: Client
) -> None:
    client.force_login(bob)
    before, after = versions[:2]
    assert commands(client, before) == [before.language_model.served_name]
    for alias in ("latest", "production"):
        model_alias_set(actor=bob, version=before, alias=alias)
    assert commands(client, before) == ["production", before.language_model.served_name]

    model_alias_set(actor=bob, version=after, alias="production")

    assert commands(client, after) == ["production", after.language_model.served_name]
    assert commands(client, before) == ["latest", before.language_model.served_name]
    # Where another task has the same alias, the name says which.
    other = ModelVersionFactory.create(run=TrainingRunFactory.create(team=team), number=9)
    model_alias_set(actor=bob, version=other, alias="production")
    assert commands(client, after)[0] == f"{after.run.dataset_version.dataset.name}/production"
