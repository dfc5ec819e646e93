"""Keys that should open nothing, keys in the wrong place, and callers who come too often."""

import logging
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts import keys
from apps.accounts.models import APIKey, Membership, Team, User
from apps.accounts.services.keys import api_key_create, api_key_revoke
from apps.accounts.services.people import member_remove
from apps.core import rates
from apps.core.logs import JsonFormatter
from apps.core.models import AuditEvent
from apps.core.tests.factories import MembershipFactory, UserFactory
from llmopt.edge.stack import Edge, build
from llmopt.tests.asgi_client import HOST, call

DATASETS = "/api/v1/datasets"


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    keys.forget_keys()
    cache.clear()


def key_of(person: User, team: Team, **more: Any) -> Any:
    return api_key_create(actor=person, team=team, name="Nightly", scopes=["read", "write"], **more)


def sent(header: str) -> Any:
    # As WSGI and ASGI hand a header on; the client's own `headers` would refuse some of these.
    return Client().get(DATASETS, HTTP_AUTHORIZATION=header)


@pytest.mark.django_db
def test_each_way_to_send_a_wrong_key_is_refused_with_a_reason(team: Team, bob: User) -> None:
    text = key_of(bob, team).text
    malformed = [
        text[:-1],
        text[:20],
        text + text,
        text + ".",
        f"{text[:30]} {text[30:]}",
        f"{text[:30]}\r\n{text[30:]}",
    ]
    malformed += [
        text.replace("llmopt_", "llmopt_ "),
        f"{text},{text}",
        f"{text}\x00",
        "llmopt_",
        "llmopt_" + "a" * 20_000,
    ]

    for wrong in malformed:
        answer = sent(f"Bearer {wrong}")
        assert (answer.status_code, answer.json()["code"]) == (401, "key_malformed"), repr(wrong[:80])
        assert answer["WWW-Authenticate"] == 'Bearer realm="LLMOpt", error="invalid_token"'
        assert wrong not in answer.content.decode()
    for scheme in ("", "Basic ", "Token ", "Bearer", "Bearer\u00a0"):
        assert sent(f"{scheme}{text}").json()["code"] == "not_authenticated"
    for right in (f"Bearer {text}", f"bearer  {text} ", f"BEARER {text}\r\n"):
        assert sent(right).status_code == 200, repr(right)


@pytest.mark.django_db
def test_a_key_is_read_from_the_header_alone(team: Team, bob: User) -> None:
    text = key_of(bob, team).text

    for name in ("key", "api_key", "api-key", "access_token", "token", "authorization"):
        assert Client().get(DATASETS, {name: text}).status_code == 401, name
    for header in ("x-api-key", "api-key", "cookie", "proxy-authorization"):
        assert Client().get(DATASETS, headers={header: text}).status_code == 401, header
    assert Client().post(DATASETS, {"key": text}).status_code == 401
    assert APIKey.objects.get().last_used_at is None


@pytest.mark.django_db
def test_what_ended_a_key_is_said_to_whoever_has_it(team: Team, alice: User, bob: User) -> None:
    expired, revoked, left = (
        key_of(bob, team, expires_at=timezone.now() + timedelta(days=1)),
        key_of(bob, team),
        key_of(bob, team),
    )
    api_key_revoke(actor=bob, key=revoked.key)
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        assert sent(f"Bearer {expired.text}").json()["code"] == "key_expired"
    assert sent(f"Bearer {revoked.text}").json()["code"] == "key_revoked"
    assert sent(f"Bearer {left.text}").status_code == 200

    member_remove(actor=alice, membership=Membership.objects.get(user=bob))
    keys.forget_keys()

    answer = sent(f"Bearer {left.text}")
    assert (answer.status_code, answer.json()["code"]) == (401, "key_revoked")


@pytest.mark.django_db
def test_a_team_that_nobody_is_in_any_more_has_no_keys(team: Team, bob: User) -> None:
    text = key_of(bob, team).text
    Membership.objects.filter(team=team).delete()

    assert sent(f"Bearer {text}").json()["code"] == "key_without_person"


@pytest.mark.django_db
def test_a_clock_that_jumps_back_revives_no_revoked_key(team: Team, bob: User) -> None:
    made = key_of(bob, team)
    api_key_revoke(actor=bob, key=made.key)

    with time_machine.travel(timezone.now() - timedelta(days=365)):
        assert sent(f"Bearer {made.text}").status_code == 401


@pytest.mark.django_db
def test_an_operator_revokes_any_key_and_it_leaves_an_event(team: Team, bob: User) -> None:
    made = key_of(bob, team)
    operator = UserFactory.create(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(operator)

    client.post(reverse("admin:accounts_apikey_changelist"), {"action": "revoke", "_selected_action": [made.key.pk]})

    assert sent(f"Bearer {made.text}").json()["code"] == "key_revoked"
    assert AuditEvent.objects.get(verb="api_key.revoked").actor == operator


# --- too often


@pytest.mark.django_db
def test_each_key_has_its_own_limit_and_is_told_when_to_go_on(settings: Any, team: Team, bob: User) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    one, other = key_of(bob, team).text, key_of(bob, team).text
    start = timezone.now().replace(second=0, microsecond=0) + timedelta(minutes=1)
    with time_machine.travel(start, tick=False):
        answers = [sent(f"Bearer {one}") for _n in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert sent(f"Bearer {other}").status_code == 200
    refused = answers[-1]
    wait = int(refused["Retry-After"])
    assert (refused["Content-Type"], refused.json()["code"]) == ("application/problem+json", "too_many_requests")
    assert str(wait) in refused.json()["title"]
    with time_machine.travel(start + timedelta(seconds=wait - 1), tick=False):
        assert sent(f"Bearer {one}").status_code == 429
    with time_machine.travel(start + timedelta(seconds=wait), tick=False):
        assert sent(f"Bearer {one}").status_code == 200


@pytest.mark.django_db
def test_an_address_that_guesses_is_slowed_and_a_valid_key_from_it_is_not(settings: Any, team: Team, bob: User) -> None:
    settings.SIGN_IN_TRIES_PER_MINUTE = 3
    text = key_of(bob, team).text

    guesses = [sent(f"Bearer {wrong}").status_code for wrong in ("llmopt_x", "ey.a.b", text[:-1], text[:-2], "y")]

    assert guesses == [401, 401, 401, 429, 429]
    assert sent(f"Bearer {text}").status_code == 200
    elsewhere = Client().get(DATASETS, HTTP_AUTHORIZATION="Bearer y", REMOTE_ADDR="192.0.2.7")
    assert elsewhere.status_code == 401


@pytest.mark.django_db
def test_passwords_and_refresh_tokens_from_one_address_are_counted_together(settings: Any, bob: User) -> None:
    settings.SIGN_IN_TRIES_PER_MINUTE = 2
    places = [
        ("api_auth_token", {"email": bob.email, "password": "wrong"}),
        ("api_auth_token_refresh", {"refresh": "x"}),
    ]
    at_home = {"REMOTE_ADDR": "2001:db8::1"}

    found = [
        Client().post(reverse(name), body, content_type="application/json", **at_home) for name, body in places * 2
    ]
    neighbour = Client().post(
        reverse("api_auth_token_revoke"), {"refresh": "x"}, content_type="application/json", REMOTE_ADDR="2001:db8::2"
    )

    assert [answer.status_code for answer in found] == [401, 401, 429, 429]
    assert int(found[-1]["Retry-After"]) > 0
    assert neighbour.status_code == 429  # the same network


def test_a_full_last_minute_fades_away_in_the_next() -> None:
    start = timezone.now().replace(second=0, microsecond=0)
    with time_machine.travel(start, tick=False):
        assert [rates.admit("x", limit=10) for _n in range(10)] == [0] * 10
        first = rates.admit("x", limit=10)
    with time_machine.travel(start + timedelta(seconds=first - 1), tick=False):
        assert rates.admit("x", limit=10) > 0
    with time_machine.travel(start + timedelta(seconds=75), tick=False):
        # A quarter of the ten has faded; of what was refused nothing was counted.
        assert rates.admit("x", limit=7) > 0
        again = rates.admit("x", limit=5)
        assert rates.admit("x", limit=8) == 0
    with time_machine.travel(start + timedelta(seconds=75 + again), tick=False):
        assert rates.admit("x", limit=6) == 0


# --- nowhere to be read


@pytest.fixture
def edge() -> Edge:
    # Not in the test itself: it sets up logging anew, without what collects the lines.
    return build(get_asgi_application())


@pytest.mark.django_db(transaction=True)
async def test_no_log_line_error_page_or_admin_page_has_a_key(
    edge: Edge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    membership = await sync_to_async(MembershipFactory.create)(role="editor")
    text = (await sync_to_async(key_of)(membership.user, membership.team)).text
    bearer = (b"authorization", f"Bearer {text}".encode())
    caplog.set_level(logging.DEBUG)

    def broken(**_given: Any) -> Any:
        raise RuntimeError("it does not work")

    answers = [
        await call(edge, DATASETS, headers=[HOST, bearer]),
        await call(edge, f"{DATASETS}?api_key={text}", headers=[HOST]),
        await call(edge, f"/api/v1/{text}", headers=[HOST, bearer]),
        await call(edge, f"/t/{text}/", headers=[HOST, bearer]),
        await call(edge, DATASETS, headers=[HOST, (b"authorization", f"Bearer {text[:-1]}".encode())]),
        await call(edge, DATASETS, method="POST", headers=[HOST, bearer], body=[text.encode()]),
    ]
    monkeypatch.setattr("apps.experiments.selectors.datasets", broken)
    answers.append(await call(edge, f"{DATASETS}?api_key={text}", headers=[HOST, bearer]))
    admin_pages = await sync_to_async(_admin_pages)(APIKey)

    assert [answer.status for answer in answers] == [200, 401, 404, 302, 401, 400, 500]
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert any("it does not work" in line for line in lines)
    shown = "\n".join([*lines, *(answer.text for answer in answers), *admin_pages])
    assert shown.count(text[:15]) > 3  # the beginning may be shown, and tells which key it was
    assert text[16:-8] not in shown


def _admin_pages(model: Any) -> list[str]:
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    key = model.objects.get()
    places = [
        "admin:accounts_apikey_changelist",
        "admin:accounts_apikeyuse_changelist",
        "admin:core_auditevent_changelist",
    ]
    pages = [client.get(reverse(name)).content.decode() for name in places]
    one = client.get(reverse("admin:accounts_apikey_change", args=[key.pk])).content.decode()
    assert key.key_hash not in one
    return [*pages, one]
