"""API keys: their text, who may make and end them, and how long each process believes what it read."""

import re
import secrets
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from apps.accounts import keys
from apps.accounts.engine.keys import key_text, parts_of
from apps.accounts.keys import key_of, key_of_async, key_refusal
from apps.accounts.models import APIKey, APIKeyUse, Membership, Team, User
from apps.accounts.services.keys import (
    APIKeyMade,
    api_key_change,
    api_key_create,
    api_key_revoke,
    api_key_use_record,
    api_key_uses_forget,
)
from apps.accounts.services.people import member_add, member_remove, member_role_change
from apps.core.errors import ApplicationError, NotAllowed
from apps.core.models import AuditEvent

ALL = ["generate", "read", "write"]


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    keys.forget_keys()


def made(person: User, team: Team, scopes: Any = ("read",), **more: Any) -> APIKeyMade:
    return api_key_create(actor=person, team=team, name="Nightly", scopes=scopes, **more)


# --- the text


def test_a_key_is_recognised_by_scanners_and_has_256_random_bits() -> None:
    secret = b"\xff" * 32
    largest, text = key_text(b"\xff" * 8, secret), key_text(b"12345678", secrets.token_bytes(32))

    pattern = r"llmopt_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}"
    assert re.fullmatch(pattern, largest)
    assert re.fullmatch(pattern, text)
    assert key_text(b"\xff" * 8, b"\xff" * 31 + b"\xfe")[:-6] != largest[:-6]
    assert parts_of(text) != parts_of(largest)


def test_what_was_mistyped_or_cut_off_is_known_without_the_database() -> None:
    text = key_text(b"12345678", b"\x07" * 32)
    assert parts_of(text) is not None
    swapped = text[:20] + text[21] + text[20] + text[22:]
    wrong = [
        text[:-1],
        text + "a",
        text[:30] + "_" + text[31:],
        text.upper(),
        f" {text}",
        f"{text}\n",
        f"{text}\r\n",
        "",
    ]
    wrong += [swapped] if swapped != text else []
    other = "a" if text[40] != "a" else "b"
    wrong += [text[:40] + other + text[41:], text.replace("llmopt_", "sk-"), "llmopt_" + "０" * 8 + text[15:]]

    assert [each for each in wrong if parts_of(each) is not None] == []
    assert [each for each in wrong if key_of(each) is not None] == []  # would raise: this test has no database


# --- making one


def test_a_key_is_shown_once_and_nothing_of_its_secret_is_kept(team: Team, bob: User) -> None:
    key, text = (made_one := made(bob, team, ALL)).key, made_one.text

    stored = str(APIKey.objects.values()) + str(AuditEvent.objects.values())
    assert text not in stored
    assert text[16:-4] not in stored
    assert key.prefix == text[:15]
    assert key.last_four == text[-4:]
    event = AuditEvent.objects.get(verb="api_key.created")
    assert event.facts == {
        "name": "Nightly", "prefix": key.prefix, "scopes": ALL, "person": bob.email, "expires_at": None,
    }  # fmt: skip


def test_a_key_says_who_it_stands_for(team: Team, bob: User) -> None:
    facts = key_of(made(bob, team, ["write", "read"]).text)

    assert facts is not None
    assert (facts.team_id, facts.team_slug, facts.person_id, facts.role) == (team.pk, team.slug, bob.pk, "editor")
    assert (facts.opens("read"), facts.opens("write"), facts.opens("generate")) == (True, True, False)


@pytest.mark.parametrize(
    ("who", "scopes"), [("rita", ["read"]), ("charlie", ["read"]), ("vera", ["write"]), ("vera", ["read", "generate"])]
)
def test_nobody_makes_a_key_that_does_more_than_they_may(
    people: dict[str, User], team: Team, who: str, scopes: list[str]
) -> None:
    with pytest.raises(ApplicationError):
        made(people[who], team, scopes)

    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "n" * 81}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expires_at"),
    ],
)
def test_a_key_without_name_scope_or_future_is_refused(team: Team, bob: User, wrong: Any, field: str) -> None:
    with pytest.raises(ApplicationError) as refused:
        api_key_create(actor=bob, team=team, **{"name": "Nightly", "scopes": ["read"], **wrong})

    assert refused.value.field == field


def test_a_key_makes_no_keys(team: Team, bob: User) -> None:
    key, text = (made_one := made(bob, team, ALL)).key, made_one.text
    bob.through_key = key_of(text)  # type: ignore[misc]

    for attempt in (
        lambda: made(bob, team),
        lambda: api_key_change(actor=bob, key=key, name="Other", expires_at=None),
        lambda: api_key_revoke(actor=bob, key=key),
    ):
        with pytest.raises(NotAllowed, match="An API key makes, changes and revokes no API keys"):
            attempt()


# --- ending one


@pytest.mark.parametrize("who", ["bob", "adam", "alice"])
def test_the_person_and_whoever_manages_the_team_revoke_a_key(people: dict[str, User], team: Team, who: str) -> None:
    one = made(people["bob"], team)
    assert key_of(one.text) is not None

    for _twice in range(2):
        api_key_revoke(actor=people[who], key=one.key)

    assert key_refusal(one.text).code == "key_revoked"
    assert AuditEvent.objects.filter(verb="api_key.revoked").count() == 1


@pytest.mark.parametrize("who", ["vera", "rita", "charlie"])
def test_others_do_not(people: dict[str, User], team: Team, who: str) -> None:
    one = made(people["bob"], team)

    with pytest.raises(NotAllowed):
        api_key_revoke(actor=people[who], key=one.key)

    assert key_of(one.text) is not None


def test_a_revoked_key_is_dead_at_once_here_and_within_seconds_elsewhere(
    team: Team, bob: User, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = made(bob, team), made(bob, team)
    assert key_of(one.text)
    assert key_of(other.text)
    with django_capture_on_commit_callbacks(execute=True):
        api_key_revoke(actor=bob, key=one.key)
    assert key_of(one.text) is None
    # As another process does it: this one's memory is not emptied.
    assert key_of(other.text)
    APIKey.objects.filter(pk=other.key.pk).update(revoked_at=timezone.now())

    monkeypatch.setattr(keys, "monotonic", lambda: monotonic() + keys.MEMORY_SECONDS)
    assert key_of(other.text) is None


def test_an_expired_key_is_refused_to_the_second_though_it_is_remembered(team: Team, bob: User) -> None:
    end = timezone.now() + timedelta(seconds=30)
    one = made(bob, team, expires_at=end)
    assert key_of(one.text)
    keys._memory[parts_of(one.text).digest] = (key_of(one.text), float("inf"))  # type: ignore[union-attr, assignment]

    with time_machine.travel(end, tick=False):
        assert key_of(one.text) is None
        refusal = key_refusal(one.text)
    assert (refusal.code, f"{end:%Y-%m-%d}" in refusal.message) == ("key_expired", True)


def test_a_key_dies_with_the_membership_and_does_not_come_back_with_it(
    team: Team, alice: User, bob: User, settings: Any
) -> None:
    settings.EMBEDDED = True
    one = made(bob, team)

    member_remove(actor=alice, membership=Membership.objects.get(user=bob))
    keys.forget_keys()
    assert key_of(one.text) is None
    member_add(actor=alice, team=team, email=bob.email, role="owner")

    assert key_of(one.text) is None
    assert AuditEvent.objects.get(verb="api_key.revoked").facts["left"] is True


def test_a_key_does_no_more_than_the_role_of_its_person_at_that_moment(team: Team, alice: User, bob: User) -> None:
    one = made(bob, team, ALL)
    member_role_change(actor=alice, membership=Membership.objects.get(user=bob), role="viewer")
    keys.forget_keys()

    facts = key_of(one.text)

    assert facts is not None
    assert [scope for scope in ALL if facts.opens(scope)] == ["read"]


def test_a_person_who_is_switched_off_has_no_keys(team: Team, bob: User) -> None:
    one = made(bob, team)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert key_of(one.text) is None
    assert key_refusal(one.text).code == "key_without_person"


def test_the_right_beginning_with_another_secret_is_an_unknown_key(team: Team, bob: User) -> None:
    one = made(bob, team)
    forged = key_text(b"\x00" * 8, b"\x01" * 32)
    APIKey.objects.filter(pk=one.key.pk).update(prefix=forged[:15])

    assert key_of(forged) is None
    assert key_refusal(forged).code == "key_unknown"


def test_the_person_renames_a_key_and_moves_its_end(team: Team, alice: User, bob: User) -> None:
    one = made(bob, team)
    later = timezone.now() + timedelta(days=30)

    api_key_change(actor=bob, key=one.key, name="Weekly", expires_at=later)
    with pytest.raises(NotAllowed):
        api_key_change(actor=alice, key=one.key, name="Mine", expires_at=None)
    api_key_revoke(actor=bob, key=one.key)
    with pytest.raises(ApplicationError, match="has been revoked"):
        api_key_change(actor=bob, key=one.key, name="Again", expires_at=None)

    one.key.refresh_from_db()
    assert (one.key.name, one.key.expires_at) == ("Weekly", later)


# --- use


def test_a_use_is_one_event_for_each_key_address_and_hour(team: Team, bob: User) -> None:
    one = made(bob, team)
    facts = key_of(one.text)
    assert facts is not None
    start = timezone.now().replace(minute=5)
    for minute, address in ((0, "10.0.0.1"), (1, "10.0.0.1"), (2, "10.0.0.2"), (3, "10.0.0.1"), (70, "10.0.0.1")):
        with time_machine.travel(start + timedelta(minutes=minute), tick=False):
            api_key_use_record(actor=None, facts=facts, address=address)

    events = AuditEvent.objects.filter(verb="api_key.used").order_by("id")
    assert [event.facts["address"] for event in events] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    assert {event.actor for event in events} == {bob}
    one.key.refresh_from_db()
    assert one.key.last_used_at == start + timedelta(minutes=70)
    with time_machine.travel(start + timedelta(days=100)):
        assert api_key_uses_forget() == APIKeyUse.objects.count() + 3


def test_uses_within_a_minute_cost_no_query(team: Team, bob: User, django_assert_num_queries: Any) -> None:
    one = made(bob, team)
    facts = key_of(one.text)
    assert facts is not None
    api_key_use_record(actor=bob, facts=facts, address="10.0.0.1")

    with django_assert_num_queries(0):
        api_key_use_record(actor=bob, facts=facts, address="10.0.0.1")
        assert key_of(one.text) == facts


def test_a_clock_that_was_set_back_does_not_stop_the_record_of_uses(team: Team, bob: User) -> None:
    one = made(bob, team)
    facts = key_of(one.text)
    assert facts is not None
    now = timezone.now()
    with time_machine.travel(now + timedelta(days=1), tick=False):
        api_key_use_record(actor=bob, facts=facts, address="10.0.0.1")
    with time_machine.travel(now, tick=False):
        api_key_use_record(actor=bob, facts=facts, address="10.0.0.1")

    one.key.refresh_from_db()
    assert one.key.last_used_at == now


@pytest.mark.django_db(transaction=True)
async def test_an_asyncio_loop_asks_without_being_held_up() -> None:
    from asgiref.sync import sync_to_async

    from apps.core.tests.factories import MembershipFactory

    membership = await sync_to_async(MembershipFactory.create)(role="editor")
    one = await sync_to_async(made)(membership.user, membership.team)

    facts = await key_of_async(one.text)

    assert facts is not None
    assert facts.role == "editor"
    assert await key_of_async(one.text) == facts
    assert await key_of_async("llmopt_x") is None
