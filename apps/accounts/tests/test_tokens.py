"""Tokens for a password: obtaining, renewing and losing them, and what nobody gets in with."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, TokenFamily, User
from apps.accounts.services.people import password_change
from apps.accounts.services.tokens import token_families_forget, tokens_create
from apps.core.models import AuditEvent
from apps.core.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
DATASETS = "/api/v1/datasets"


def post(client: Client, name: str, **body: str) -> Any:
    return client.post(reverse(name), json.dumps(body), content_type="application/json")


def obtained(client: Client, person: User) -> dict[str, Any]:
    answer = post(client, "api_auth_token", email=person.email.upper(), password=PASSWORD)
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def opens(client: Client, access: str) -> int:
    return int(client.get(DATASETS, headers={"authorization": f"Bearer {access}"}).status_code)


def test_a_password_gets_a_pair_that_opens_what_its_person_may(client: Client, team: Team, bob: User) -> None:
    answer = post(client, "api_auth_token", email=bob.email, password=PASSWORD)

    pair = answer.json()
    assert (answer["Cache-Control"], pair["token_type"], pair["expires_in"]) == ("no-store", "Bearer", 600)
    assert opens(client, pair["access"]) == 200
    assert "sessionid" not in client.cookies
    bob.refresh_from_db()
    assert bob.last_login is not None
    assert AuditEvent.objects.get(verb="user.signed_in").facts == {"method": "token"}


def test_wrong_unknown_switched_off_and_without_password_read_alike(client: Client, bob: User) -> None:
    linked = UserFactory.create(email="linked@example.com")
    linked.set_unusable_password()
    linked.save()
    UserFactory.create(email="gone@example.com", is_active=False)
    tries = [(bob.email, "wrong"), ("nobody@example.com", "wrong"), (linked.email, ""), (linked.email, "!")]
    tries.append(("gone@example.com", PASSWORD))

    answers = [post(client, "api_auth_token", email=email, password=given or "x") for email, given in tries]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].json()["code"] == "wrong_credentials"
    assert answers[0]["WWW-Authenticate"].startswith("Bearer")


def test_ten_wrong_passwords_lock_the_right_one_out_and_say_for_how_long(
    settings: Any, client: Client, bob: User
) -> None:
    settings.AXES_ENABLED = True
    for _wrong in range(10):
        post(client, "api_auth_token", email=bob.email, password="wrong")  # noqa: S106 - it is the wrong one

    last = post(client, "api_auth_token", email=bob.email, password=PASSWORD)

    assert (last.status_code, last.json()["code"], last["Retry-After"]) == (429, "locked_out", "900")


# --- renewing and losing


def test_a_refresh_token_gets_the_next_pair_and_once_only(client: Client, team: Team, bob: User) -> None:
    first = obtained(client, bob)
    second = post(client, "api_auth_token_refresh", refresh=first["refresh"]).json()
    third = post(client, "api_auth_token_refresh", refresh=second["refresh"]).json()
    assert opens(client, third["access"]) == 200

    reused = post(client, "api_auth_token_refresh", refresh=first["refresh"])

    assert (reused.status_code, reused.json()["code"]) == (401, "token_reused")
    assert [opens(client, pair["access"]) for pair in (first, second, third)] == [401, 401, 401]
    assert post(client, "api_auth_token_refresh", refresh=third["refresh"]).status_code == 401
    assert AuditEvent.objects.filter(verb="token_family.reused", actor=bob).count() == 1


def test_another_program_of_the_same_person_is_left_alone(client: Client, team: Team, bob: User) -> None:
    stolen, other = obtained(client, bob), obtained(client, bob)
    for _twice in range(2):
        post(client, "api_auth_token_refresh", refresh=stolen["refresh"])

    assert opens(client, other["access"]) == 200
    assert post(client, "api_auth_token_refresh", refresh=other["refresh"]).status_code == 200


def test_a_revoked_program_is_out_at_once(client: Client, team: Team, bob: User) -> None:
    pair = obtained(client, bob)

    answers = [post(client, "api_auth_token_revoke", refresh=pair["refresh"]).status_code for _twice in range(2)]

    assert answers == [204, 204]
    assert opens(client, pair["access"]) == 401
    assert post(client, "api_auth_token_refresh", refresh=pair["refresh"]).json()["code"] == "token_refused"
    assert AuditEvent.objects.filter(verb="token_family.revoked").count() == 1


def test_a_new_password_signs_every_program_out(client: Client, team: Team, bob: User) -> None:
    pair = obtained(client, bob)

    password_change(actor=bob, current=PASSWORD, new="a quite different sentence")

    assert opens(client, pair["access"]) == 401
    assert post(client, "api_auth_token_refresh", refresh=pair["refresh"]).status_code == 401


def test_the_account_page_signs_all_programs_out_and_leaves_others_alone(
    client: Client, team: Team, bob: User, alice: User
) -> None:
    mine, hers = [tokens_create(actor=bob).access for _each in range(2)], tokens_create(actor=alice).access
    client.force_login(bob)
    assert "2 programs are signed in with your password." in client.get(reverse("account")).content.decode()

    page = client.post(reverse("account_programs"), follow=True).content.decode()

    assert "2 programs are signed out." in page
    assert "signed in with your password" not in page
    assert [opens(Client(), access) for access in (*mine, hers)] == [401, 401, 200]
    assert AuditEvent.objects.get(verb="user.programs_signed_out").facts == {"programs": 2}


def test_a_person_who_is_switched_off_is_out(client: Client, team: Team, bob: User) -> None:
    pair = obtained(client, bob)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert opens(client, pair["access"]) == 401
    assert post(client, "api_auth_token_refresh", refresh=pair["refresh"]).status_code == 401


def test_both_tokens_end_and_what_ended_is_forgotten(client: Client, team: Team, bob: User) -> None:
    pair, now = obtained(client, bob), timezone.now()

    with time_machine.travel(now + timedelta(minutes=11)):
        assert opens(client, pair["access"]) == 401
        assert post(client, "api_auth_token_refresh", refresh=pair["refresh"]).status_code == 200
    with time_machine.travel(now + timedelta(days=40)):
        assert token_families_forget() == 0
    with time_machine.travel(now + timedelta(days=50)):
        assert token_families_forget() == 1


def test_a_clock_that_was_set_back_signs_nobody_out(client: Client, team: Team, bob: User) -> None:
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        pair = obtained(client, bob)

    assert opens(client, pair["access"]) == 200
    assert post(client, "api_auth_token_refresh", refresh=pair["refresh"]).status_code == 200


# --- forgeries


def test_no_forgery_opens_anything(client: Client, team: Team, bob: User, settings: Any) -> None:
    pair = tokens_create(actor=bob)
    claims = jwt.decode(pair.access, options={"verify_signature": False})
    later = {**claims, "exp": claims["exp"] + 3600}
    right = hashlib.sha256(f"llmopt tokens {settings.SECRET_KEY}".encode()).hexdigest()
    head, body, signature = pair.access.split(".")
    forgeries = {
        "no signature at all": jwt.encode(later, None, algorithm="none"),
        "the signature left out": f"{head}.{body}.",
        "another body": f"{head}.{jwt.encode(later, 'x' * 32).split('.')[1]}.{signature}",
        "the key of sessions": jwt.encode(later, settings.SECRET_KEY + "x" * 32),
        "another algorithm": jwt.encode(later, right, algorithm="HS512"),
        "a refresh token": pair.refresh,
        "no family": jwt.encode({key: value for key, value in later.items() if key != "family"}, right),
        "no end": jwt.encode({key: value for key, value in later.items() if key != "exp"}, right),
        "somebody else": jwt.encode({**later, "sub": str(UserFactory.create().uid)}, right),
        "cut off": pair.access[:-1],
        "nothing": "",
        "two": f"{pair.access} {pair.access}",
    }

    assert opens(client, jwt.encode(later, right)) == 200  # so that what follows fails for what it says
    assert {what for what, text in forgeries.items() if opens(client, text) != 401} == set()
    assert post(client, "api_auth_token_refresh", refresh=pair.access).status_code == 401
    assert TokenFamily.objects.get().revoked_at is None


def test_a_token_in_an_address_or_a_body_is_not_read(client: Client, team: Team, bob: User) -> None:
    access = tokens_create(actor=bob).access

    for name in ("access", "token", "access_token", "api_key", "key", "Authorization"):
        assert client.get(DATASETS, {name: access}).status_code == 401
    assert client.get(DATASETS, headers={"x-api-key": access}).status_code == 401


# --- sessions beside them


def test_a_write_needs_a_csrf_token_with_a_session_alone(team: Team, bob: User) -> None:
    body = {"name": "Sort", "messages": [{"role": "user", "content": "{{ input }}"}]}
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)
    send = {"content_type": "application/json"}

    refused = strict.post("/api/v1/prompts", body, **send)
    bearer = {"authorization": f"Bearer {tokens_create(actor=bob).access}"}

    assert (refused.status_code, refused["Content-Type"]) == (403, "application/problem+json")
    assert strict.post("/api/v1/prompts", body, headers=bearer, **send).status_code == 201


def test_a_wrong_bearer_is_not_helped_out_by_the_session(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)

    assert client.get(DATASETS).status_code == 200
    assert opens(client, "wrong") == 401


def test_whoever_sends_nothing_is_told_how_to_sign_in(client: Client, team: Team) -> None:
    answer = client.get(DATASETS)
    basic = client.get(DATASETS, headers={"authorization": "Basic Ym9iOmJvYg=="})

    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="LLMOpt"')
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == basic.json()["code"] == "not_authenticated"
    assert "Authorization: Bearer" in answer.json()["title"]
