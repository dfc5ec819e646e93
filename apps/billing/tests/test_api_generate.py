"""`POST generate`: an answer with its cost, in pieces or whole, inside the budgets, once for each Idempotency-Key."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.billing import loop_thread, services
from apps.billing.generating import forget_models
from apps.billing.models import LedgerEntry
from apps.billing.tests.provider_world import GPT, commercial_model, provider_key
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.services.prompts import prompt_create
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_cache_memory")]
TEXT = "Hello there, how are you?"
ASK = {"model": GPT, "prompt": "Say hello to me", "max_tokens": 16}


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running
    loop_thread.stop_loop_thread()


@pytest.fixture
def model(team: Team, server: FakeProvider, settings: Any) -> LanguageModel:
    forget_models()
    made = commercial_model(provider_key(team, server, settings))
    LanguageModel.objects.filter(pk=made.pk).update(served_name=GPT)
    return made


def ask(client: Client, key: str, body: dict[str, Any], **headers: str) -> Any:
    return client.post(
        reverse("api_generate"), json.dumps(body), content_type="application/json",
        headers={"Authorization": f"Bearer {key}", **headers},
    )  # fmt: skip


def streamed_text(answer: Any) -> str:
    async def whole() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return asyncio.run(whole()).decode()


@pytest.fixture
def key(team: Team, bob: User) -> str:
    return api_key_create(actor=bob, team=team, name="shop", scopes=["generate"]).text


def test_an_answer_comes_with_usage_cost_and_the_name_of_its_generation(
    client: Client, key: str, model: LanguageModel, bob: User
) -> None:
    answer = ask(client, key, ASK)
    assert answer.status_code == 200, answer.content
    body, entry = answer.json(), LedgerEntry.objects.get()
    assert (body["output"], body["finish_reason"], body["cached"]) == (TEXT, "stop", False)
    assert (body["generation"], body["model"]) == (str(entry.uid), GPT)
    assert body["cost_nanousd"] == entry.amount_nanousd > 0
    assert body["usage"]["completion_tokens"] == entry.completion_tokens
    assert (entry.person, entry.api_key.name) == (bob, "shop")


def test_a_version_of_a_prompt_is_rendered_with_the_text(
    client: Client, key: str, model: LanguageModel, team: Team, bob: User, server: FakeProvider
) -> None:
    spec = PromptSpec((Message("system", "Be {{ mood }}."), Message("user", "Answer: {{ input }}")))
    version = prompt_create(actor=bob, team=team, name="Moody", spec=spec, columns=["mood"])
    body = {**ASK, "prompt_version": str(version.uid), "columns": {"mood": "brief"}}
    assert ask(client, key, body).status_code == 200
    assert "Be brief." in str(server.requests[0].body)
    assert "Answer: Say hello to me" in str(server.requests[0].body)
    wrong = ask(client, key, {**body, "columns": {}})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "prompt_version")


def test_the_pieces_come_as_events_and_the_last_one_is_the_whole(
    client: Client, key: str, model: LanguageModel
) -> None:
    answer = ask(client, key, {**ASK, "stream": True})
    assert answer["Content-Type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in streamed_text(answer).splitlines() if line.startswith("data: ")]
    assert "".join(event["text"] for event in events[:-1]) == TEXT
    assert len(events) > 3
    assert events[-1]["generation"] == str(LedgerEntry.objects.get().uid)


def test_the_same_key_gives_the_same_answer_at_no_cost(
    client: Client, key: str, model: LanguageModel, server: FakeProvider
) -> None:
    answers = [ask(client, key, ASK, **{"Idempotency-Key": "one"}).json() for _ in range(2)]
    other = ask(client, key, ASK, **{"Idempotency-Key": "two"}).json()
    assert [each["cached"] for each in (*answers, other)] == [False, True, False]
    assert answers[1]["cost_nanousd"] == 0
    assert len(server.requests) == 2


@pytest.mark.parametrize("streamed", [False, True])
def test_a_budget_without_room_is_a_problem_with_both_numbers(
    client: Client, key: str, model: LanguageModel, team: Team, alice: User, server: FakeProvider, streamed: bool
) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=10)
    answer = ask(client, key, {**ASK, "stream": streamed})
    text = streamed_text(answer) if streamed else answer.content.decode()
    assert answer.status_code == (200 if streamed else 402)
    assert "budget_exceeded" in text
    assert "is spent" in text
    assert server.requests == []


def test_what_the_provider_refuses_is_a_problem_in_its_own_words(
    client: Client, key: str, model: LanguageModel, server: FakeProvider
) -> None:
    server.reply = Reply(status=400, error=("context_length_exceeded", "This is too long for me."))
    answer = ask(client, key, ASK)
    assert (answer.status_code, answer.json()["code"]) == (400, "context_too_long")
    server.reply = Reply(status=401)
    assert ask(client, key, ASK).status_code == 502


def test_a_model_of_another_team_does_not_exist(
    client: Client, key: str, model: LanguageModel, other_team: Team
) -> None:
    LanguageModel.objects.update(team=other_team)
    forget_models()
    assert ask(client, key, ASK).status_code == 404
