"""What the REST API says about itself: without a warning, and as it answers."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.core.idempotency import forget_old
from apps.core.models import IdempotentAnswer
from apps.core.tests import factories
from apps.core.tests.rest import unlike
from apps.core.tests.routes import World, make_world
from apps.experiments.models import Prompt

PLACES = {
    "{uid}": "<uuid:uid>",
    "{number}": "<int:number>",
    "{kind}": "<slug:kind>",
    "{label}": "<str:label>",
    "{candidate}": "<uuid:candidate>",
}


@pytest.fixture(scope="module")
def schema() -> Any:
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def world(team: Team, alice: User, bob: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    settings.EMBEDDED = True
    monkeypatch.setattr("apps.core.readiness.remembered", lambda _run: [])
    return make_world(team, alice, bob)


def test_every_route_is_documented_with_its_words(schema: Any) -> None:
    operations = [operation for path in schema["paths"].values() for operation in path.values()]

    assert len(operations) >= 60
    assert [each["operationId"] for each in operations if not each.get("description")] == []
    assert {"/api/v1/datasets", "/api/v1/experiments/{uid}/final-test", "/api/v1/fine-tune"} <= schema["paths"].keys()


def test_every_operation_has_examples_that_are_what_it_takes_and_answers(schema: Any) -> None:
    wrong = []
    for path, method, operation in operations_of(schema):
        bodies = {
            f"{method} {path} request": operation.get("requestBody", {}).get("content", {}),
            **{f"{method} {path} {code}": found.get("content", {}) for code, found in operation["responses"].items()},
        }
        for what, content in bodies.items():
            for media, part in content.items():
                # A file, a text and a stream have no example in JSON.
                if media in ("multipart/form-data", "text/markdown", "text/event-stream"):
                    continue
                examples = part.get("examples", {})
                wrong += [f"{what} has no example"] if not examples else []
                for example in examples.values():
                    wrong += [f"{what}: {one}" for one in unlike(example["value"], part["schema"], schema)]

    assert wrong == []


def test_every_operation_says_how_it_is_refused(schema: Any) -> None:
    for path, method, operation in operations_of(schema):
        if operation["tags"] == ["health"]:
            continue
        refusals = {code: found for code, found in operation["responses"].items() if code[0] == "4"}
        signing_in = operation["tags"] == ["auth"]
        assert {"400", "401", "429", *(() if signing_in else ("403",))} <= refusals.keys(), (method, path)
        assert ("404" in refusals) or "{" not in path, (method, path)
        assert {tuple(found["content"]) for found in refusals.values()} == {("application/problem+json",)}
        assert all(found["description"] for found in refusals.values())


def operations_of(schema: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


@pytest.mark.django_db
def test_each_documented_read_answers_as_documented_for_a_real_object(
    schema: Any, world: World, client: Client, alice: User
) -> None:
    client.force_login(alice)
    tried = 0
    for path, operations in schema["paths"].items():
        if "get" not in operations:
            continue
        route = path.lstrip("/")
        for place, parameter in PLACES.items():
            route = route.replace(place, parameter)
        answer = client.get(world.address(route))
        assert answer.status_code == 200, path
        (media, shape), *_more = operations["get"]["responses"]["200"]["content"].items()
        assert answer["Content-Type"].split(";")[0] == media
        if media == "application/json":
            assert unlike(answer.json(), shape["schema"], schema) == [], path
        tried += 1
    assert tried >= 25


@pytest.mark.django_db
def test_the_page_of_the_docs_fetches_nothing_from_elsewhere_and_has_no_inline_script(client: Client) -> None:
    page = client.get(reverse("api_docs")).content.decode()

    assert page.count('<script src="/') == page.count("<script") == 3
    assert "http" not in page
    assert "<style" not in page
    script = client.get(reverse("api_docs"), {"script": ""})
    assert script["Content-Type"].startswith("application/javascript")
    assert b"/api/v1/schema/" in script.content


# --- teams, pages and keys


def post(client: Client, body: Any, **headers: str) -> Any:
    return client.post(reverse("api_prompts"), json.dumps(body), content_type="application/json", headers=headers)


BODY = {"name": "Sort", "messages": [{"role": "user", "content": "{{ input }}"}]}


@pytest.mark.django_db
def test_a_caller_with_several_teams_names_one(client: Client, team: Team, other_team: Team, bob: User) -> None:
    factories.MembershipFactory.create(team=other_team, user=bob, role="viewer")
    factories.DatasetFactory.create(team=team, name="Mine")
    client.force_login(bob)

    silent = client.get(reverse("api_datasets"))
    named = client.get(reverse("api_datasets"), headers={"LLMOpt-Team": team.slug})
    strange = client.get(reverse("api_datasets"), headers={"LLMOpt-Team": "nowhere"})

    assert (silent.status_code, silent.json()["code"]) == (400, "team_required")
    assert silent["Content-Type"] == "application/problem+json"
    assert [each["name"] for each in named.json()["results"]] == ["Mine"]
    assert strange.status_code == 404
    assert post(client, BODY, **{"LLMOpt-Team": other_team.slug}).status_code == 403


@pytest.mark.django_db
def test_the_teams_header_keeps_an_object_to_that_team(client: Client, team: Team, other_team: Team, bob: User) -> None:
    factories.MembershipFactory.create(team=other_team, user=bob, role="viewer")
    address = reverse("api_dataset", args=[factories.DatasetFactory.create(team=team).uid])
    client.force_login(bob)

    assert client.get(address).status_code == 200
    assert client.get(address, headers={"LLMOpt-Team": other_team.slug}).status_code == 404


@pytest.mark.django_db
def test_a_list_goes_on_where_it_stopped_whatever_was_added_meanwhile(client: Client, team: Team, bob: User) -> None:
    made = [factories.DatasetFactory.create(team=team).name for _n in range(5)]
    client.force_login(bob)

    first = client.get(reverse("api_datasets"), {"limit": 3}).json()
    factories.DatasetFactory.create(team=team)
    second = client.get(first["next"]).json()

    assert [each["name"] for each in first["results"] + second["results"]] == made[::-1]
    assert (first["previous"], second["next"]) == (None, None)


@pytest.mark.django_db
def test_the_same_key_gets_the_same_answer_and_another_body_is_refused(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    key = {"Idempotency-Key": "one"}

    first, again = post(client, BODY, **key), post(client, BODY, **key)
    other = post(client, {**BODY, "name": "Another"}, **key)
    fresh = post(client, BODY, **{"Idempotency-Key": "two"})

    assert (first.status_code, again.status_code, other.status_code, fresh.status_code) == (201, 201, 409, 409)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" in again
    assert other.json()["code"] == "idempotency_key_used"
    assert Prompt.objects.count() == 1


@pytest.mark.django_db
def test_a_refusal_is_not_remembered_and_a_key_ends_after_a_day(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    key = {"Idempotency-Key": "one"}
    assert post(client, {**BODY, "messages": []}, **key).status_code == 400
    assert not IdempotentAnswer.objects.exists()
    assert post(client, BODY, **key).status_code == 201
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert post(client, {**BODY, "name": "Another"}, **key).status_code == 201
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    forget_old()
    assert not IdempotentAnswer.objects.exists()
    assert post(client, BODY, **{"Idempotency-Key": "x" * 200}).json()["code"] == "idempotency_key_invalid"


@pytest.mark.django_db
def test_two_people_may_use_the_same_key(client: Client, team: Team, bob: User, alice: User) -> None:
    for person, name in ((bob, "B"), (alice, "A")):
        client.force_login(person)
        assert post(client, {**BODY, "name": name}, **{"Idempotency-Key": "one"}).status_code == 201
