"""`/v1` as the clients use it that people have: OpenAI's SDK, LangChain and curl, with an upstream on a real socket."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from django.core.cache import cache

from apps.accounts.keys import forget_keys
from apps.accounts.models import APIKey, Team, User
from apps.accounts.services.keys import api_key_create, api_key_revoke
from apps.billing import selectors, services
from apps.billing.generating import forget_models
from apps.billing.models import LedgerEntry, Reservation
from apps.billing.tests.provider_world import GPT, commercial_model, provider_key
from apps.core.models import AuditEvent
from apps.core.tests.factories import LanguageModelFactory, ModelVersionFactory, TrainingRunFactory
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply
from apps.training.services.aliases import model_alias_set
from llmopt.tests.gateway_server import edge_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
NAME = f"openai/{GPT}"
ASK: list[Any] = [{"role": "user", "content": "Say hello to me"}]
TEXT = "Hello there, how are you?"


@pytest.fixture
def upstream() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def model(team: Team, upstream: FakeProvider, settings: Any, empty_cache_memory: None) -> LanguageModel:
    forget_models()
    forget_keys()
    cache.clear()
    return commercial_model(provider_key(team, upstream, settings))


@pytest.fixture
def key(team: Team, bob: User) -> str:
    return api_key_create(actor=bob, team=team, name="shop", scopes=["generate"]).text


@pytest.fixture
def address(model: LanguageModel, settings: Any) -> Iterator[str]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with edge_server() as running:
        yield running


@pytest.fixture
def client(address: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as made:
        yield made


def curl(address: str, key: str, body: Any, *more: str, query: str = "") -> tuple[int, str]:
    """Status and body of a request that curl makes."""
    url, data = f"{address}/v1/chat/completions{query}", body if isinstance(body, str) else json.dumps(body)
    headers = ["-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"]
    command = ["curl", "-s", "-w", "\n%{http_code}", url, *headers, "-d", data, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def test_openais_sdk_gets_an_answer_with_its_usage_and_the_books_know_who_paid(
    client: openai.OpenAI, model: LanguageModel, bob: User, upstream: FakeProvider
) -> None:
    answer = client.chat.completions.create(model=NAME, messages=ASK, max_tokens=16)

    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    entry = LedgerEntry.objects.get()
    assert answer.id == f"chatcmpl-{entry.uid.hex}"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        entry.prompt_tokens,
        entry.completion_tokens,
    )
    assert (entry.person, entry.language_model, entry.api_key.name) == (bob, model, "shop")
    assert entry.amount_nanousd > 0
    # Without OpenAI's SDK, which takes several times as long as everything else here.
    assert [seen.path for seen in upstream.requests] == ["/v1/chat/completions"]


def test_openais_sdk_streams_with_usage_at_the_end(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=NAME, messages=ASK, max_tokens=16, stream=True, stream_options={"include_usage": True}
        )
    )
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == TEXT
    assert len([text for text in texts if text]) > 2
    entry = LedgerEntry.objects.get()
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{entry.uid.hex}"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == entry.completion_tokens


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_calls_are_passed_through_both_ways(client: openai.OpenAI, upstream: FakeProvider, streamed: bool) -> None:
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    upstream.script(Reply(text="", tools=(("look", '{"at":"it"}'),)))
    if streamed:
        stream: Any = client.chat.completions.create(model=NAME, messages=ASK, tools=tools, max_tokens=16, stream=True)
        deltas = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
        name, arguments = deltas[0].function.name, "".join(call.function.arguments or "" for call in deltas)
        identifier = deltas[0].id
    else:
        answer: Any = client.chat.completions.create(model=NAME, messages=ASK, tools=tools, max_tokens=16)
        (call,) = answer.choices[0].message.tool_calls
        name, arguments, identifier = call.function.name, call.function.arguments, call.id
        assert answer.choices[0].finish_reason == "tool_calls"
    assert (name, json.loads(arguments)) == ("look", {"at": "it"})

    said = [
        *ASK,
        {"role": "assistant", "tool_calls": [{"id": identifier, "type": "function",
                                              "function": {"name": name, "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": identifier, "content": "seen"},
    ]  # fmt: skip
    assert client.chat.completions.create(model=NAME, messages=said, tools=tools, max_tokens=16).choices


def test_langchain_works_by_changing_address_and_key(address: str, key: str) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=f"{address}/v1", api_key=key, model=NAME, max_retries=0, max_tokens=16)  # type: ignore[call-arg, arg-type]
    assert chat.invoke("Say hello to me").content == TEXT
    assert "".join(str(piece.content) for piece in chat.stream("Say hello to me")) == TEXT
    assert LedgerEntry.objects.count() == 2


def test_curl_works_and_is_told_cost_and_generation(address: str, key: str) -> None:
    status, text = curl(address, key, {"model": NAME, "messages": ASK, "max_tokens": 16}, "-i")
    assert status == 200
    entry = LedgerEntry.objects.get()
    assert f"llmopt-generation: {entry.uid.hex}" in text
    assert f"llmopt-cost-nanousd: {entry.amount_nanousd}" in text


def test_the_models_of_the_team_that_answer_are_listed_and_no_other(
    client: openai.OpenAI, team: Team, other_team: Team
) -> None:
    LanguageModelFactory.create(team=other_team, served_name="theirs")
    LanguageModelFactory.create(team=team, served_name="broken", state="failed")
    tuned = LanguageModelFactory.create(team=team, kind="trained")
    assert [found.id for found in client.models.list()] == [tuned.served_name, NAME]
    assert client.models.retrieve(NAME).owned_by == "openai"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("theirs")


def test_the_providers_own_name_of_a_model_is_understood(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(model=GPT, messages=ASK, max_tokens=16).choices[0].message.content == TEXT


def test_an_alias_is_a_name_of_a_model_until_two_tasks_have_it(
    client: openai.OpenAI, model: LanguageModel, team: Team, bob: User
) -> None:
    def point_at(language_model: LanguageModel, dataset: str) -> None:
        run = TrainingRunFactory.create(team=team, dataset_version__dataset__name=dataset)
        version = ModelVersionFactory.create(run=run, language_model=language_model)
        model_alias_set(actor=bob, version=version, alias="production")

    def ask(name: str, **more: Any) -> Any:
        return client.chat.completions.create(model=name, messages=ASK, max_tokens=16, **more)

    def aliases() -> list[str]:
        return [found.id for found in client.models.list() if found.model_extra["root"] != found.id]  # type: ignore[index]

    point_at(model, "Mail")
    assert ask("production").model == NAME
    assert {chunk.model for chunk in ask("Mail/production", stream=True)} == {NAME}
    assert aliases() == ["production"]
    assert client.models.retrieve("production").model_extra == client.models.retrieve(NAME).model_extra

    point_at(LanguageModelFactory.create(team=team, kind="trained"), "US orders")
    with pytest.raises(openai.BadRequestError, match="Name one of Mail/production, US orders/production"):
        ask("production")
    assert ask("Mail/production").model == NAME
    assert aliases() == ["Mail/production", "US orders/production"]
    assert client.models.retrieve("US orders/production").id == "US orders/production"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "nothing"}, "There is no model nothing"),
        ({"messages": []}, "messages must be a list of 1 to"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "A message's role is one of"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "Only text is taken, not image_url"),
        ({"max_tokens": 0}, "max_tokens must be a number from 1"),
        ({"temperature": 3}, "temperature must be a number from 0 to 2"),
        ({"n": 2}, "The parameter n is not supported here"),
        ({"service_tier": "priority"}, "The parameter service_tier is not supported"),
        ({"web_search_options": {}}, "The parameter web_search_options is not supported"),
        ({"tools": [{"type": "web_search"}]}, "Only tools of the type function are taken"),
        ({"logit_bias": {"50256": -100}}, "The parameter logit_bias is not supported"),
        ({"stop": [""]}, "stop must be a text, or a list"),
        ({"response_format": {"type": "xml"}}, "response_format must be text"),
        ({"stream": "yes"}, "stream must be true or false"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_by_name_and_costs_nothing(
    address: str, key: str, upstream: FakeProvider, change: dict[str, Any], says: str
) -> None:
    status, text = curl(address, key, {"model": NAME, "messages": ASK, "max_tokens": 16, **change})
    error = json.loads(text)["error"]
    assert status == (404 if "model" in change else 400)
    assert says in error["message"]
    assert error["param"]
    assert upstream.requests == []
    assert Reservation.objects.count() == 0


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"model": "\\ud800", "messages": [{"role":"user"}]}'])
def test_garbage_is_answered_with_a_sentence(address: str, key: str, body: str) -> None:
    status, text = curl(address, key, body)
    assert status == 400
    assert json.loads(text)["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("PUT", "chat/completions", {}, "{}", 405),
        ("GET", "chat/completions", {}, "", 405),
        ("POST", "models", {}, "", 405),
        ("OPTIONS", "models", {}, "", 405),
        ("GET", "models/%00%ff", {}, "", 404),
        ("GET", "nothing%0d%0aX-Header:%20x", {}, "", 404),
        ("POST", "chat/completions", {}, '{"model": "a\\u0000", "messages": [{"role": "user", "content": "x"}]}', 404),
        ("POST", "chat/completions", {"LLMOpt-Cache": "maybe"}, "WHOLE", 400),
        ("POST", "chat/completions", {"LLMOpt-Repeat": "-1"}, "WHOLE", 400),
        ("POST", "chat/completions", {"LLMOpt-Repeat": "²".encode("latin-1")}, "WHOLE", 400),
        (
            "POST",
            "chat/completions",
            {"Content-Encoding": "gzip", "Content-Type": "\xff".encode("latin-1")},
            "\x1f",
            400,
        ),
        ("POST", "chat/completions", {"Authorization": b"Bearer \xff\xfe"}, "WHOLE", 401),
        ("POST", "chat/completions", {"Authorization": b"Bearer"}, "WHOLE", 401),
        ("POST", "chat/completions", {"X-Request-Id": b"\xff" * 100, "Cookie": "=;=;sessionid"}, "{", 400),
    ],
)
def test_a_hostile_request_gets_a_sentence_in_openais_shape_and_costs_nothing(
    address: str, key: str, method: str, path: str, headers: dict[str, Any], body: str, status: int
) -> None:
    whole = json.dumps({"model": NAME, "messages": ASK})
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.request(
        method, f"/v1/{path}", whole if body == "WHOLE" else body, {"Authorization": f"Bearer {key}", **headers}
    )
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()

    assert answer.status == status
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    # RFC 9110 wants a 405 to say what is taken.
    assert (answer.getheader("Allow") is not None) == (status == 405)
    assert Reservation.objects.count() == 0


def test_a_key_that_opens_nothing_says_why(address: str, model: LanguageModel, team: Team, bob: User, key: str) -> None:
    reading = api_key_create(actor=bob, team=team, name="reads", scopes=["read"])
    revoked = api_key_create(actor=bob, team=team, name="old", scopes=["generate"])
    api_key_revoke(actor=bob, key=revoked.key)
    body = {"model": NAME, "messages": ASK}
    assert curl(address, "", body)[0] == 401
    assert curl(address, f"{key}x", body)[0] == 401
    assert curl(address, reading.text, body)[0] == 403
    status, text = curl(address, revoked.text, body)
    assert (status, "has been revoked" in text) == (401, True)
    # A key in the address would stand in every log on the way.
    assert curl(address, "", body, query=f"?api_key={key}")[0] == 401
    assert Reservation.objects.count() == 0


def test_a_use_of_a_key_is_noted_once_an_hour_and_wrong_keys_are_slowed(
    address: str, key: str, upstream: FakeProvider, settings: Any
) -> None:
    settings.SIGN_IN_TRIES_PER_MINUTE = 2
    body = {"model": NAME, "messages": ASK, "max_tokens": 16}

    assert [curl(address, key, body)[0] for _twice in range(2)] == [200, 200]
    assert [curl(address, f"{key}x", body)[0] for _each in range(3)] == [401, 401, 429]
    assert curl(address, key, body)[0] == 200

    assert APIKey.objects.get().last_used_at is not None
    assert AuditEvent.objects.get(verb="api_key.used").facts["address"] == "127.0.0.1"


def test_a_budget_without_room_is_402_with_both_numbers_and_is_not_repeated(
    address: str, key: str, team: Team, alice: User, upstream: FakeProvider
) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=1000)
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=2) as client:
        for streamed in (False, True):
            with pytest.raises(openai.APIStatusError) as refused:
                client.chat.completions.create(model=NAME, messages=ASK, max_tokens=16, stream=streamed)
            assert refused.value.status_code == 402
            assert refused.value.code == "insufficient_quota"
            assert "is spent" in refused.value.message
            assert "is held" in refused.value.message
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply(status=400, error=("context_length_exceeded", "too long")), 400, "context_length_exceeded"),
        (Reply(body=b"no json"), 502, "bad_answer"),
        (Reply(status=401), 502, "auth"),
    ],
)
def test_what_the_provider_says_is_passed_on_in_its_kind(
    client: openai.OpenAI, upstream: FakeProvider, settings: Any, reply: Reply, status: int, code: str
) -> None:
    upstream.reply = reply
    settings.GATEWAY_SECONDS = 1
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model=NAME, messages=ASK, max_tokens=16)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert selectors.held_total() == 0
    assert selectors.ledger_balance_problems() == []


def test_a_client_that_leaves_in_the_middle_pays_for_what_was_generated(
    client: openai.OpenAI, address: str, upstream: FakeProvider
) -> None:
    upstream.script(Reply(between=0.02))
    stream = client.chat.completions.create(model=NAME, messages=ASK, max_tokens=16, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()
    from apps.core.tests.installation import wait_for

    entry = wait_for(lambda: LedgerEntry.objects.first(), what="the answer to be booked")
    assert entry.kind == "settled"
    assert "The caller left" in entry.evidence
    assert selectors.held_total() == 0


def test_a_greedy_answer_comes_from_the_cache_and_a_drawn_one_only_if_asked_for(
    client: openai.OpenAI, upstream: FakeProvider
) -> None:
    def ask(**more: Any) -> Any:
        return client.chat.completions.create(model=NAME, messages=ASK, max_tokens=16, **more)

    assert [ask(temperature=0).usage.llmopt["cached"] for _ in range(2)] == [False, True]
    assert [ask(temperature=1).usage.llmopt["cached"] for _ in range(2)] == [False, False]
    on = {"LLMOpt-Cache": "on"}
    assert [ask(temperature=1, extra_headers=on).usage.llmopt["cached"] for _ in range(2)] == [False, True]
    assert ask(temperature=1, extra_headers={**on, "LLMOpt-Repeat": "1"}).usage.llmopt["cached"] is False
    assert ask(temperature=0, extra_headers={"LLMOpt-Cache": "off"}).usage.llmopt["cached"] is False
    kinds = list(LedgerEntry.objects.order_by("id").values_list("kind", flat=True))
    assert kinds.count("cached") == 2
    assert len(upstream.requests) == kinds.count("settled") == 6


def test_a_key_may_ask_so_often_in_a_minute(address: str, key: str, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    body = {"model": NAME, "messages": ASK, "max_tokens": 16}
    assert [curl(address, key, body)[0] for _ in range(3)] == [200, 200, 429]
