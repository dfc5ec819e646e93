"""Asking a model by hand: metered like every call, by editors alone; and the command that is offered for pasting."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing.models import LedgerEntry, Price, Reservation
from apps.core.models import AuditEvent
from apps.core.tests.factories import BudgetFactory, LanguageModelFactory, PromptVersionFactory
from apps.providers.calling import curl_command
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.providers.tests.inference_support import Server, build_models, inference

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_cache_memory")]
TOKEN = "a-token-of-enough-characters"  # noqa: S105 - of a server that lives for one test


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("serving")
    (root / "token").write_text(TOKEN)
    with inference(build_models(root / "models"), "--token-file", str(root / "token")) as running:
        running.token_file = root / "token"  # type: ignore[attr-defined]
        yield running


@pytest.fixture(autouse=True)
def served(server: Server, settings: Any) -> None:
    settings.INFERENCE_URL = f"{server.url}/v1"
    settings.INFERENCE_TOKEN_FILE = server.token_file  # type: ignore[attr-defined]


@pytest.fixture
def model(team: Team) -> LanguageModel:
    return LanguageModelFactory.create(team=team, served_name="tiny")


def ask(client: Client, user: User, team: Team, model: LanguageModel, **data: Any) -> Any:
    client.force_login(user)
    return client.post(reverse("model_try", args=[team.slug, model.uid]), {"text": "hello", "max_tokens": 6, **data})


def test_an_answer_is_shown_with_time_tokens_and_cost_and_is_in_the_ledger(
    client: Client, bob: User, team: Team, model: LanguageModel
) -> None:
    text = ask(client, bob, team, model).content.decode()
    entry = LedgerEntry.objects.get()
    assert (entry.completion_tokens, entry.amount_nanousd > 0) == (6, True)
    for said in ("Answer", "Time", "Written", "Cost", "assumed price"):
        assert said in text
    assert Reservation.objects.get().purpose == f"try:{model.uid}"
    assert AuditEvent.objects.filter(verb="language_model.tried", actor=bob).count() == 1
    assert Price.objects.get().assumed


def test_the_prompt_of_the_training_is_around_the_text_unless_taken_away(
    client: Client, bob: User, team: Team, model: LanguageModel
) -> None:
    messages = [{"role": "user", "content": "hello world this is a small text about {{ input }} {{ city }}"}]
    version = PromptVersionFactory.create(prompt__team=team, messages=messages)
    model.facts = {"prompt": version.content_hash}
    model.save()
    ask(client, bob, team, model, with_prompt="on", column_city="Springfield")
    ask(client, bob, team, model)
    inside, alone = LedgerEntry.objects.order_by("id").values_list("prompt_tokens", flat=True)
    assert inside > alone + 5


def test_a_budget_without_room_refuses_with_its_sentence(
    client: Client, bob: User, team: Team, model: LanguageModel
) -> None:
    BudgetFactory.create(team=team, limit_nanousd=1)
    text = ask(client, bob, team, model).content.decode()
    assert "The model was not asked" in text
    assert not LedgerEntry.objects.exists()


def test_a_model_that_is_not_served_says_so_and_costs_nothing(client: Client, bob: User, team: Team) -> None:
    missing = LanguageModelFactory.create(team=team, served_name="not-there")
    text = ask(client, bob, team, missing).content.decode()
    assert "There is no answer" in text
    assert LedgerEntry.objects.get().amount_nanousd == 0


def test_only_editors_may_ask_and_an_empty_text_is_refused(
    client: Client, bob: User, vera: User, team: Team, model: LanguageModel
) -> None:
    assert ask(client, vera, team, model).status_code == 403
    assert ask(client, bob, team, model, text="").status_code == 422
    assert not Reservation.objects.exists()


def test_the_command_on_the_page_works_as_pasted(
    client: Client, bob: User, team: Team, model: LanguageModel, settings: Any, server: Server
) -> None:
    """With a shell, in the product's folder; quotes and line breaks in the prompt included."""
    tricky = 'it\'s "quoted" $(echo no) `no`\nsecond line'
    command = curl_command(model, [Message("system", tricky), Message("user", "hello")], max_tokens=5)
    ended = subprocess.run(
        ["/bin/bash", "-c", command], cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60, check=True
    )
    _status, _headers, expected = server.post(
        {
            "model": "tiny",
            "messages": [{"role": "system", "content": tricky}, {"role": "user", "content": "hello"}],
            "max_tokens": 5,
            "temperature": 0,
        },
        headers={"Authorization": f"Bearer {TOKEN}"},
    )

    assert json.loads(ended.stdout)["choices"] == expected["choices"]
    assert TOKEN not in command
    client.force_login(bob)
    page = client.get(reverse("model", args=[team.slug, model.uid])).content.decode()
    assert "chat/completions" in page
    assert TOKEN not in page


def test_the_command_names_the_token_as_it_lies_in_the_products_folder(settings: Any, model: LanguageModel) -> None:
    settings.INFERENCE_TOKEN_FILE = Path(settings.BASE_DIR) / "var" / "run" / "inference-token"
    assert "$(cat var/run/inference-token)" in curl_command(model, [Message("user", "x")])
