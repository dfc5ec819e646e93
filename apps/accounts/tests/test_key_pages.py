"""API keys on the settings page and by REST: what each person sees and can do."""

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts import keys
from apps.accounts.keys import key_of
from apps.accounts.models import APIKey, Team, User
from apps.accounts.services.keys import api_key_create, api_key_revoke, api_key_use_record
from apps.core.tests.factories import MembershipFactory

pytestmark = pytest.mark.django_db
KEY = re.compile(r"llmopt_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}")


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    keys.forget_keys()


def made(person: User, team: Team, name: str = "Nightly") -> APIKey:
    return api_key_create(actor=person, team=team, name=name, scopes=["read"]).key


def make(client: Client, team: Team, **more: Any) -> Any:
    last_day = (timezone.localdate() + timedelta(days=30)).isoformat()
    data = {"name": "Web shop", "scopes": ["read", "generate"], "ends_on": last_day, **more}
    return client.post(reverse("api_keys", args=[team.slug]), data)


def test_a_new_key_is_shown_once_and_works(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)

    page = make(client, team)

    text = KEY.search(page.content.decode())
    assert text is not None
    assert page["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    facts = key_of(text.group())
    assert facts is not None
    assert (facts.name, facts.scopes, facts.team_id) == ("Web shop", {"read", "generate"}, team.pk)
    again = client.get(reverse("api_keys", args=[team.slug])).content.decode()
    assert KEY.search(again) is None
    assert f"{facts.prefix}…{text.group()[-4:]}" in again


def test_a_key_ends_with_its_last_day_in_the_teams_time_zone(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    make(client, team, ends_on="2998-06-30")

    key = APIKey.objects.get()

    assert key.expires_at == datetime(2998, 7, 1, tzinfo=ZoneInfo(team.time_zone))
    assert 'value="2998-06-30"' in client.get(reverse("api_key", args=[team.slug, key.uid])).content.decode()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "This field is required."),
        ({"scopes": []}, "This field is required."),
        ({"ends_on": "2001-01-01"}, "The end of a key lies in the future."),
        ({"ends_on": "0001-01-01"}, "The end of a key lies in the future."),
        ({"ends_on": "9999-12-31"}, "A key ends before the year 3000, or has no end."),
        ({"scopes": ["own"]}, "Select a valid choice."),
    ],
)
def test_what_was_typed_stays_and_the_mistake_is_named(
    client: Client, team: Team, bob: User, wrong: dict[str, Any], sentence: str
) -> None:
    client.force_login(bob)

    page = make(client, team, **wrong)

    assert page.status_code == 422
    assert sentence in page.content.decode()
    assert "name" in wrong or 'value="Web shop"' in page.content.decode()
    assert not APIKey.objects.exists()


def test_a_viewer_is_offered_what_their_role_allows(client: Client, team: Team, vera: User) -> None:
    client.force_login(vera)
    page = client.get(reverse("api_keys", args=[team.slug])).content.decode()

    assert 'value="read"' in page
    assert 'value="write"' not in page
    assert make(client, team, scopes=["write"]).status_code == 422


def test_members_see_their_own_keys_and_admins_those_of_everybody(
    client: Client, team: Team, adam: User, bob: User, vera: User
) -> None:
    for person in (bob, vera):
        made(person, team, f"Key of {person.name}")
    seen = {}
    for person in (adam, bob, vera):
        client.force_login(person)
        page = client.get(reverse("api_keys", args=[team.slug])).content.decode()
        api = client.get(reverse("api_api_keys")).json()["results"]
        seen[person.name] = set(re.findall(r"Key of \w+(?=</a>)", page))
        assert {key["name"] for key in api} == seen[person.name]

    assert seen == {"Adam": {"Key of Bob", "Key of Vera"}, "Bob": {"Key of Bob"}, "Vera": {"Key of Vera"}}


def test_a_key_is_renamed_by_its_person_and_revoked_by_an_admin(
    client: Client, team: Team, adam: User, bob: User
) -> None:
    key = made(bob, team)
    page = reverse("api_key", args=[team.slug, key.uid])
    client.force_login(bob)
    assert client.post(page, {"name": "Weekly", "ends_on": ""}).status_code == 302
    client.force_login(adam)
    assert "Save key" not in client.get(page).content.decode()
    assert client.post(page, {"name": "Mine"}).status_code == 403

    answer = client.post(reverse("api_key_revoke", args=[team.slug, key.uid]), follow=True)

    assert "The key Weekly is revoked." in answer.content.decode()
    key.refresh_from_db()
    assert (key.name, key.state) == ("Weekly", "revoked")
    client.force_login(bob)
    assert "Revoke key" not in client.get(page).content.decode()


def test_a_key_of_another_team_is_not_found_though_one_is_in_both(
    client: Client, team: Team, other_team: Team, bob: User
) -> None:
    MembershipFactory.create(team=other_team, user=bob, role="owner")
    theirs = made(bob, other_team)
    client.force_login(bob)

    for name, send in (("api_key", client.get), ("api_key", client.post), ("api_key_revoke", client.post)):
        assert send(reverse(name, args=[team.slug, theirs.uid])).status_code == 404
    address = reverse("api_api_key", args=[theirs.uid])
    assert client.get(address, headers={"LLMOpt-Team": team.slug}).status_code == 404
    assert client.get(address, headers={"LLMOpt-Team": other_team.slug}).status_code == 200
    theirs.refresh_from_db()
    assert theirs.state == "active"


def test_the_list_tells_active_expired_and_revoked_apart(client: Client, team: Team, bob: User) -> None:
    active, expired, revoked = (made(bob, team, name) for name in ("A", "B", "C"))
    APIKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(days=1))
    api_key_revoke(actor=bob, key=revoked)
    client.force_login(bob)

    listed = client.get(reverse("api_api_keys")).json()["results"]

    assert {key["name"]: key["state"] for key in listed} == {"A": "active", "B": "expired", "C": "revoked"}
    assert active.state == "active"
    page = client.get(reverse("api_keys", args=[team.slug])).content.decode()
    assert all(word in page for word in ("Active", "Expired", "Revoked"))


def test_an_answer_with_a_new_key_is_not_kept_for_an_idempotency_key(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    body = {"name": "Nightly", "scopes": ["read"]}

    answers = [
        client.post(reverse("api_api_keys"), body, content_type="application/json", headers={"Idempotency-Key": "one"})
        for _twice in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["key"] != answers[1].json()["key"]
    assert answers[0]["Cache-Control"] == "no-store"


def test_the_home_page_tells_of_new_keys_and_not_of_their_use(client: Client, team: Team, bob: User) -> None:
    facts = key_of(api_key_create(actor=bob, team=team, name="Night shift", scopes=["read"]).text)
    assert facts is not None
    api_key_use_record(actor=bob, facts=facts, address="192.0.2.1")
    client.force_login(bob)

    page = client.get(reverse("home", args=[team.slug])).content.decode()

    assert "made the API key Night shift" in page
    assert "used the API key" not in page


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("api_api_keys", {"name": "A", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-12:00"}),
        ("api_api_keys", {"name": "A", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59Z"}),
        ("api_api_keys", {"name": "A", "scopes": ["read"], "expires_at": "0001-01-01T00:00:00+23:59"}),
        ("api_api_keys", {"name": "\ud800", "scopes": ["read"]}),
        ("api_api_keys", {"name": "\x00", "scopes": ["read"]}),
        ("api_api_keys", {"name": "A", "scopes": {"read": 1}}),
        ("api_api_keys", ["read"]),
        ("api_auth_token", {"email": "bob@example.com", "password": "\ud800"}),
        ("api_auth_token", {"email": "bob\x00@example.com", "password": "x"}),
        ("api_auth_token", {"email": ["bob@example.com"], "password": {"a": 1}}),
        ("api_auth_token_refresh", {"refresh": "\ud800"}),
        ("api_auth_token_refresh", {"refresh": 7.5}),
        ("api_auth_token_revoke", None),
    ],
)
def test_odd_bodies_are_refused_and_break_nothing(client: Client, team: Team, bob: User, name: str, body: Any) -> None:
    client.force_login(bob)

    answer = client.post(reverse(name), body, content_type="application/json")

    assert answer.status_code in (400, 401), answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert not APIKey.objects.exists()
