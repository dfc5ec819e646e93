"""Requests of the REST API are read to the letter: what the document does not allow is refused, by its name."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework import serializers

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.core.api.shapes import QuerySerializer, RequestSerializer
from apps.core.tests.routes import World, make_world
from apps.core.tests.test_rest_schema import PLACES, schema  # noqa: F401 - a fixture

# None of these is of the type; DRF's own fields would take most of them.
UNLIKE: dict[str, list[Any]] = {
    "string": [7, ["a"]],
    "integer": ["7", True],
    "number": ["7", True],
    "boolean": ["true", 1],
    "array": ["a", {"a": 1}],
    "object": ["a", ["a"]],
}


class Inner(RequestSerializer):
    text = serializers.CharField()


class Shape(RequestSerializer):
    whole = serializers.IntegerField(required=False)
    share = serializers.FloatField(required=False)
    yes = serializers.BooleanField(required=False)
    uid = serializers.UUIDField(required=False)
    at = serializers.DateTimeField(required=False, allow_null=True)
    names = serializers.ListField(child=serializers.CharField(), required=False)
    inner = Inner(many=True, required=False)
    free = serializers.DictField(required=False)


class Query(QuerySerializer):
    limit = serializers.IntegerField(required=False, min_value=1)


@pytest.mark.parametrize(
    "body",
    [
        {"whole": "3"}, {"whole": True}, {"whole": 3.5}, {"share": "0.5"}, {"share": 10**400}, {"yes": "y"}, {"yes": 1},
        {"uid": 7}, {"at": 2026}, {"names": ["a", 3]}, {"inner": [{"text": 3}]}, {"free": {"a": ["\x00"]}},
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_the_name_of_its_field(body: dict[str, Any]) -> None:
    given = Shape(data=body)
    assert not given.is_valid()
    assert given.errors.keys() == body.keys()


def test_what_json_calls_the_same_is_taken() -> None:
    given = Shape(data={"whole": 3.0, "share": 1, "yes": False, "at": None, "names": [], "free": {"a": {"b": 1}}})
    assert given.is_valid(), given.errors
    assert given.validated_data["whole"] == 3


@pytest.mark.parametrize("text", ["", "x", "1.0", " 1", "+1", "٣", "1e1", "null"])
def test_a_number_in_an_address_is_digits(text: str) -> None:
    assert not Query(data={"limit": text}).is_valid()


# --- every operation


@pytest.fixture
def world(team: Team, alice: User, bob: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    settings.EMBEDDED = True
    settings.API_REQUESTS_PER_MINUTE = 0
    monkeypatch.setattr("apps.core.readiness.remembered", lambda _run: [])
    return make_world(team, alice, bob)


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(shape: Any, document: Any) -> Any:
    while "$ref" in shape or list(shape.get("allOf", ())):
        shape = shape["allOf"][0] if "allOf" in shape else shape
        shape = document["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
    return shape


def address(world: World, path: str) -> str:
    route = path.lstrip("/")
    for place, parameter in PLACES.items():
        route = route.replace(place, parameter)
    return world.address(route)


def test_every_body_in_json_is_read_to_the_letter(schema: Any) -> None:  # noqa: F811
    known = {each.__name__: each for each in _all(serializers.Serializer)}
    asked = [name for name in schema["components"]["schemas"] if name.endswith("Request")]
    loose = [name for name in asked if not issubclass(known[f"{name[:-7]}Serializer"], RequestSerializer)]
    assert len(asked) >= 30
    # The file of an upload is no JSON.
    assert loose == ["FileRequest"]


def _all(base: Any) -> Iterator[Any]:
    for each in base.__subclasses__():
        yield each
        yield from _all(each)


@pytest.mark.django_db
def test_a_body_that_the_document_does_not_allow_is_refused_by_every_operation(
    schema: Any,  # noqa: F811
    world: World,
    client: Client,
    alice: User,
) -> None:
    client.force_login(alice)
    taken, tried = [], 0
    for path, method, operation in operations(schema):
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if media is None:
            continue
        shape = resolved(media["schema"], schema)
        example = next(iter(media["examples"].values()))["value"]
        for name, field in shape["properties"].items():
            for value in UNLIKE.get(resolved(field, schema).get("type", ""), []):
                body = {**example, name: value}
                answer = client.generic(method.upper(), address(world, path), json.dumps(body), "application/json")
                tried += 1
                if answer.status_code not in (400, 404, 409):
                    taken.append(f"{method} {path} {name}={value!r}: {answer.status_code}")
                assert answer["Content-Type"] == "application/problem+json"
    assert taken == []
    assert tried > 150


@pytest.mark.django_db
def test_a_parameter_that_the_document_does_not_allow_is_refused_by_every_operation(
    schema: Any,  # noqa: F811
    world: World,
    client: Client,
    alice: User,
) -> None:
    client.force_login(alice)
    taken, tried = [], 0
    for path, method, operation in operations(schema):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] != "query":
                continue
            for text in wrong_texts(parameter["schema"]):
                answer = client.generic(
                    method.upper(), address(world, path), QUERY_STRING=f"{parameter['name']}={text}"
                )
                tried += 1
                if answer.status_code not in (400, 403, 404):
                    taken.append(f"{method} {path}?{parameter['name']}={text}: {answer.status_code}")
    assert taken == []
    assert tried > 80


def wrong_texts(shape: Any) -> list[str]:
    found = []
    if shape["type"] == "integer":
        found = ["", "x", "1.5", "-1", str(shape.get("maximum", 10**30) + 1)]
    elif "enum" in shape or "format" in shape:
        found = ["", "x", "2026"]
    if "maxLength" in shape:
        found.append("x" * (shape["maxLength"] + 1))
    if "pattern" in shape:
        found.append("%00")
    return found


# --- bodies that no reader can hold


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("[" * 100_000, "nested more than"),
        ('{"name": ' * 900 + "1" + "}" * 900, "nested more than"),
        ('{"margin": 1e999}', "too large"),
        ('{"margin": NaN}', "JSON"),
        ('{"name": "\xff"', "JSON"),
        ("", ""),
    ],
)
def test_a_body_that_cannot_be_held_is_refused(client: Client, team: Team, bob: User, body: str, says: str) -> None:
    client.force_login(bob)
    answer = client.post(reverse("api_prompts"), body.encode("latin-1"), content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert says in answer.json()["title"]


@pytest.mark.django_db
@pytest.mark.parametrize("cursor", ["x", "cD1hYmM=", "bz0xJnA9eA==", "%00", "-1", "99999999999999999999"])
def test_a_cursor_that_nobody_was_given_is_no_page(client: Client, team: Team, bob: User, cursor: str) -> None:
    client.force_login(bob)
    for name in ("api_datasets", "api_jobs", "api_usage"):
        answer = client.get(f"{reverse(name)}?cursor={cursor}")
        assert answer.status_code in (400, 404), (name, cursor)


@pytest.mark.django_db
def test_a_key_of_an_idempotent_write_is_printable_ascii_everywhere(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    bodies: dict[str, Any] = {
        "api_prompts": {"name": "n", "messages": [{"role": "user", "content": "{{ input }}"}]},
        "api_generate": {"model": "m", "prompt": "p"},
    }
    for name, body in bodies.items():
        for key in ("x" * 129, "é", "a\tb", ""):
            headers = {"Idempotency-Key": key}
            answer = client.post(reverse(name), json.dumps(body), content_type="application/json", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_invalid"), (name, key)


@pytest.mark.django_db
def test_an_empty_team_is_no_team(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    assert client.get(reverse("api_datasets")).status_code == 200
    assert client.get(reverse("api_datasets"), headers={"LLMOpt-Team": ""}).status_code == 404


@pytest.mark.django_db
def test_a_repeated_answer_is_given_to_the_same_team_alone(client: Client, team: Team, bob: User) -> None:
    key = api_key_create(actor=bob, team=team, name="shop", scopes=["write"]).text
    body = {"name": "n", "messages": [{"role": "user", "content": "{{ input }}"}]}

    def send(**named: str) -> int:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "one", **named}
        answer = client.post(reverse("api_prompts"), json.dumps(body), content_type="application/json", headers=headers)
        return int(answer.status_code)

    assert [send(), send(), send(**{"LLMOpt-Team": "nowhere"})] == [201, 201, 409]


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["Basic YTpi", "x", "", "Bearer", "Bearer x"])
def test_a_header_that_signs_nobody_in_is_refused_beside_a_session(
    client: Client, team: Team, bob: User, header: str
) -> None:
    client.force_login(bob)
    answer = client.get(reverse("api_datasets"), headers={"Authorization": header})
    assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
    assert "Bearer" in answer["WWW-Authenticate"]
