"""The list of models: always the written ones, each with its state and what makes it available."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing.models import Reservation
from apps.core.artifacts import local_folder
from apps.core.tests.factories import LanguageModelFactory, PriceFactory, entry_of
from apps.providers.engine.catalogue import KNOWN_MODELS
from apps.providers.entries import model_choices
from apps.providers.models import LanguageModel, ModelFetch
from apps.providers.services.fetches import model_download

pytestmark = pytest.mark.django_db


def page(client: Client, user: User, team: Team) -> str:
    client.force_login(user)
    return client.get(reverse("models", args=[team.slug])).content.decode()


def test_a_new_team_sees_every_written_model_with_its_size_and_memory(client: Client, bob: User, team: Team) -> None:
    text = page(client, bob, team)
    assert [known.name for known in KNOWN_MODELS if known.name not in text] == []
    for shown in ("Download 548\u00a0MB", "Download about 6.4\u00a0GB", "498\u00a0MB", "not measured yet", "Runs here"):
        assert shown in text, shown


def test_a_viewer_is_offered_no_action(client: Client, vera: User, team: Team) -> None:
    text = page(client, vera, team)
    assert "GPT-2 small" in text
    assert "Download 548" not in text


def test_the_model_of_the_demo_is_added_with_one_press(client: Client, bob: User, team: Team) -> None:
    (local_folder("models/smollm2-135m-instruct-q4") / "hf").mkdir(parents=True)
    assert "On this machine, not added" in page(client, bob, team)
    client.post(reverse("model_on_disk", args=[team.slug]), {"key": "smollm2-135m-instruct"})
    text = page(client, bob, team)
    assert "SmolLM2-135M-Instruct (restored from 4-bit)" in text
    assert "On this machine, not added" not in text


def test_a_download_is_shown_as_waiting_and_then_with_what_helps(client: Client, bob: User, team: Team) -> None:
    client.force_login(bob)
    client.post(reverse("model_download", args=[team.slug]), {"key": "gpt2"})
    fetch = ModelFetch.objects.get()
    assert (fetch.status, fetch.location) == (
        "queued",
        "openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e",
    )
    assert "Waiting" in page(client, bob, team)
    ModelFetch.objects.update(status="failed", error_code="hub_unreachable")
    LanguageModel.objects.update(state="failed", error="The model hub could not be reached.")
    text = page(client, bob, team)
    assert "Hub not reachable: give a folder" in text
    assert reverse("model_add", args=[team.slug]) in text


def test_an_unknown_key_is_answered_with_a_sentence(client: Client, bob: User, team: Team) -> None:
    client.force_login(bob)
    answer = client.post(reverse("model_download", args=[team.slug]), {"key": "../etc"}, follow=True)
    assert "There is no model ../etc in the list." in answer.content.decode()
    assert not ModelFetch.objects.exists()


def test_speed_is_what_was_booked(client: Client, bob: User, team: Team) -> None:
    model = LanguageModelFactory.create(team=team)
    reservation = Reservation.objects.create(
        team=team, language_model=model, price=PriceFactory.create(), purpose="x", held_nanousd=1,
        expires_at=model.created_at, state="settled",
    )  # fmt: skip
    entry_of(reservation, completion_tokens=146, compute_seconds=2.0)
    assert ">73<" in page(client, bob, team).replace("\n", "")


def test_a_form_offers_what_is_not_here_only_with_its_fix(bob: User, team: Team, other_team: Team) -> None:
    ready = LanguageModelFactory.create(team=team, name="Ours")
    LanguageModelFactory.create(team=team, name="Broken", state="failed")
    LanguageModelFactory.create(team=other_team, name="Theirs")
    model_download(actor=bob, team=team, key="gpt2")
    offered = {entry.name: entry for entry in model_choices(user=bob, team=team)}
    assert "Theirs" not in offered
    assert (offered["Ours"].model, offered["Ours"].selectable) == (ready, True)
    assert not offered["Broken"].selectable
    assert not offered["GPT-2 small"].selectable
    assert offered["GPT-2 XL"].selectable
    assert offered["GPT-2 XL"].fix is not None


def test_the_page_of_adding_says_what_it_takes(
    client: Client, bob: User, adam: User, team: Team, settings: Any
) -> None:
    url = reverse("model_add", args=[team.slug])
    client.force_login(bob)
    assert "LLMOPT_MODEL_FOLDERS" in client.get(url).content.decode()
    settings.MODEL_FOLDERS = ["/srv/models"]
    assert "Owners and admins only" in client.get(url).content.decode()
    client.force_login(adam)
    answer = client.post(url, {"folder": "/etc", "name": "X"})
    assert answer.status_code == 422
    assert "Name a folder below /srv/models" in answer.content.decode()
    assert 'value="X"' in answer.content.decode()
