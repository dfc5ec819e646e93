"""What API keys and access tokens open: as permissions.csv says, never more than their person's role."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from rest_framework.decorators import api_view
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from apps.accounts import keys
from apps.accounts.models import APIKey, Membership, Team, User
from apps.accounts.services.keys import api_key_create
from apps.accounts.services.tokens import tokens_create
from apps.core.api.permissions import scopes_of
from apps.core.models import AuditEvent
from apps.core.tests import factories
from apps.core.tests.routes import World, make_world, status_of
from apps.core.tests.test_permissions import DATA, PEOPLE, ROWS
from apps.experiments.models import Dataset, Prompt

ALL = ["generate", "read", "write"]
API_ROWS = [row for row in ROWS if row["route"].startswith("api/")]
CLOSED = "-"
# Where a key opens less than its person: it withdraws only the feedback that it gave itself.
NARROWER = {"DELETE api/v1/feedback/<uuid:uid>": {"owner": 403, "admin": 403}}


def key_for(person: User, team: Team, scopes: Any = ALL) -> str:
    """A key with these scopes, whatever the role of its person is by now."""
    membership = Membership.objects.get(user=person, team=team)
    Membership.objects.filter(pk=membership.pk).update(role="editor")
    text = api_key_create(actor=person, team=team, name="Any", scopes=scopes).text
    Membership.objects.filter(pk=membership.pk).update(role=membership.role)
    return text


def bearer(text: str) -> Client:
    return Client(raise_request_exception=False, headers={"authorization": f"Bearer {text}"})


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def world(team: Team, alice: User, bob: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    settings.EMBEDDED = True
    monkeypatch.setattr("apps.core.readiness.remembered", lambda _run: [])
    keys.forget_keys()
    return make_world(team, alice, bob)


# --- the table


def view_of(route: str) -> Any:
    """The class that answers a route of the API."""

    def walk(resolver: URLResolver, prefix: str) -> Iterator[Any]:
        for entry in resolver.url_patterns:
            place = prefix + str(entry.pattern)
            if isinstance(entry, URLResolver):
                yield from walk(entry, place)
            elif place == route:
                yield entry.callback

    callback = next(walk(get_resolver(), ""))
    return getattr(callback, "cls", None) or callback.view_class


@pytest.mark.syntax
def test_the_table_says_for_each_route_which_scope_a_key_needs() -> None:
    """Its column `key`: scopes, of which one is enough; - where keys are refused; empty where nobody signs in."""
    wrong = {}
    for row in API_ROWS:
        view = view_of(row["route"])
        declared = "" if AllowAny in view.permission_classes else "|".join(scopes_of(view, row["method"])) or CLOSED
        if row["key"] != declared:
            wrong[f"{row['method']} {row['route']}"] = f"the table says {row['key']!r}, the route {declared!r}"

    assert wrong == {}


@pytest.mark.django_db
def test_a_key_and_a_token_open_what_the_role_of_their_person_does(
    world: World, people: dict[str, User], other_team: Team
) -> None:
    """Each row with a key of each role, one of another team, and an editor's token."""
    callers = {
        column: bearer(key_for(people[name], other_team if column == "stranger" else world.team))
        for column, name in PEOPLE.items()
        if name is not None
    }
    program = bearer(tokens_create(actor=people["bob"]).access)
    wrong: dict[str, Any] = {}
    for row in API_ROWS:
        path, data = world.address(row["route"]), DATA.get(row["route"], {}) if row["method"] == "POST" else None
        expected = {
            column: 403 if row["key"] == CLOSED else int(row[column]) for column in PEOPLE if PEOPLE[column] is not None
        }
        expected |= NARROWER.get(f"{row['method']} {row['route']}", {})
        found = {}
        for column, client in callers.items():
            with undone():
                found[column] = status_of(client, row["method"], path, data)
        with undone():
            found["token"] = status_of(program, row["method"], path, data)
        expected["token"] = int(row["editor"])
        if found != expected:
            wrong[f"{row['method']} {row['route']}"] = {
                who: (status, expected[who]) for who, status in found.items() if status != expected[who]
            }

    assert wrong == {}
    assert len(API_ROWS) > 60


@pytest.mark.django_db
def test_a_key_without_the_scope_is_refused_with_the_scopes_name(world: World, bob: User) -> None:
    clients = {scope: bearer(key_for(bob, world.team, [scope])) for scope in ALL}
    tried = set()
    for row in API_ROWS:
        for scope, client in clients.items():
            if not row["key"] or row["key"] == CLOSED or scope in row["key"].split("|"):
                continue
            with undone():
                answer = getattr(client, row["method"].lower())(world.address(row["route"]))
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), row["route"]
            assert row["key"].split("|")[0] in answer.json()["title"]
            tried.add(scope)

    assert tried == set(ALL)


@pytest.mark.django_db
def test_a_route_that_declares_no_scope_is_closed_to_keys(team: Team, bob: User) -> None:
    @api_view(["GET", "POST"])
    def undeclared(request: Request) -> Response:
        return Response("seen")

    key, token = key_for(bob, team), tokens_create(actor=bob).access
    keys.forget_keys()
    for method in ("get", "post", "options"):
        ask = getattr(APIRequestFactory(), method)
        refused = undeclared(ask("/", headers={"authorization": f"Bearer {key}"}))
        assert (refused.status_code, refused.data["code"]) == (403, "keys_refused"), method
        assert undeclared(ask("/", headers={"authorization": f"Bearer {token}"})).status_code == 200


# --- teams


@pytest.mark.django_db
def test_a_key_is_kept_to_its_team_though_its_person_is_in_two(team: Team, other_team: Team, bob: User) -> None:
    factories.MembershipFactory.create(team=other_team, user=bob, role="owner")
    here, there = (factories.DatasetFactory.create(team=each) for each in (team, other_team))
    client = bearer(key_for(bob, team))

    listed = client.get(reverse("api_datasets"))
    own_header = client.get(reverse("api_datasets"), headers={"LLMOpt-Team": team.slug})
    other_header = client.get(reverse("api_datasets"), headers={"LLMOpt-Team": other_team.slug})

    assert [each["uid"] for each in listed.json()["results"]] == [str(here.uid)]
    assert own_header.json() == listed.json()
    assert other_header.status_code == 404
    assert client.get(reverse("api_dataset", args=[there.uid])).status_code == 404
    assert client.delete(reverse("api_dataset", args=[there.uid])).status_code == 404
    assert Dataset.objects.filter(pk=there.pk).exists()


@pytest.mark.django_db
def test_an_operators_key_opens_no_more_than_their_role(team: Team, other_team: Team, vera: User) -> None:
    User.objects.filter(pk=vera.pk).update(is_superuser=True, is_staff=True)
    client = bearer(key_for(vera, team))
    body = {"name": "Sort", "messages": [{"role": "user", "content": "{{ input }}"}]}

    assert client.post(reverse("api_prompts"), body, content_type="application/json").status_code == 403
    assert client.get("/admin/").status_code == 302
    assert not Prompt.objects.exists()


@pytest.mark.django_db
def test_the_same_idempotency_key_in_two_teams_is_two_writes(team: Team, other_team: Team, bob: User) -> None:
    factories.MembershipFactory.create(team=other_team, user=bob, role="owner")
    body = {"name": "Sort", "messages": [{"role": "user", "content": "{{ input }}"}]}
    answers = [
        bearer(key_for(bob, each)).post(
            reverse("api_prompts"), body, content_type="application/json", headers={"Idempotency-Key": "one"}
        )
        for each in (team, other_team)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert set(Prompt.objects.values_list("team", flat=True)) == {team.pk, other_team.pk}


@pytest.mark.django_db
def test_what_was_done_with_a_key_names_the_key(team: Team, bob: User) -> None:
    client = bearer(key_for(bob, team))
    body = {"name": "Sort", "messages": [{"role": "user", "content": "{{ input }}"}]}

    assert client.post(reverse("api_prompts"), body, content_type="application/json").status_code == 201

    event = AuditEvent.objects.get(verb="prompt.created")
    assert (event.actor, event.facts["api_key"]) == (bob, APIKey.objects.get().prefix)


@pytest.mark.django_db
def test_pages_know_no_keys(team: Team, bob: User) -> None:
    client = bearer(key_for(bob, team))

    assert client.get(reverse("home", args=[team.slug])).headers["Location"].startswith("/sign-in/")
