"""Feedback on generations: who may say what of which, that it is said once, and that what was said before is kept."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.billing.models import LedgerEntry
from apps.core.errors import NotFound
from apps.core.models import AuditEvent
from apps.core.tests.at_once import second_of_two
from apps.core.tests.factories import FeedbackFactory, LanguageModelFactory, UnknownFactory, entry_of
from apps.feedback.models import Feedback
from apps.feedback.services import feedback_give, feedback_withdraw

pytestmark = pytest.mark.django_db


def answer_of(team: Team, model: Any = None, **more: Any) -> LedgerEntry:
    fields = {} if model is None else {"language_model": model}
    return entry_of(UnknownFactory.create(team=team, state="settled", **fields), **more)


Say = Callable[..., Any]


def saying(client: Client, **headers: str) -> Say:
    """Posts feedback. Entries stand for their ids."""

    def say(**body: Any) -> Any:
        named = {name: str(value.uid) if isinstance(value, LedgerEntry) else value for name, value in body.items()}
        return client.post(reverse("api_feedback"), json.dumps(named), content_type="application/json", headers=headers)

    return say


@pytest.fixture
def say(client: Client, bob: User) -> Say:
    client.force_login(bob)
    return saying(client)


@pytest.fixture
def say_by_key(team: Team, bob: User) -> Say:
    """Bob's program, with a key that may call models and nothing else."""
    text = api_key_create(actor=bob, team=team, name="shop", scopes=["generate"]).text
    return saying(Client(), Authorization=f"Bearer {text}")


def test_a_rating_said_again_takes_the_place_of_the_first_which_the_audit_trail_keeps(
    say: Say, team: Team, bob: User
) -> None:
    answer = answer_of(team)

    first = say(generation=answer, rating=2, comment="Too long.")
    again = say(generation=answer, rating=4)
    same = say(generation=answer, rating=4)

    assert [each.status_code for each in (first, again, same)] == [201, 201, 201]
    row = Feedback.objects.get()
    assert (row.rating, row.scale_low, row.scale_high, row.comment, row.person) == (4, 1, 5, "", bob)
    assert first.json()["uid"] == again.json()["uid"] == str(row.uid)
    changed, given = AuditEvent.objects.filter(verb__startswith="feedback.")
    assert (given.verb, given.facts["rating"]) == ("feedback.given", 2)
    assert (changed.verb, changed.facts["rating"]) == ("feedback.changed", 4)
    assert changed.facts["before"] == {
        "kind": "rating", "generation": str(answer.uid), "rating": 2, "scale": [1, 5], "comment": "Too long."
    }  # fmt: skip


def test_a_key_is_a_giver_of_its_own_and_takes_the_gateways_id(say: Say, say_by_key: Say, team: Team) -> None:
    answer = answer_of(team)

    say(generation=answer, thumb="up")
    by_key = say_by_key(generation=f"chatcmpl-{answer.uid.hex}", thumb="down")

    assert by_key.status_code == 201
    assert (by_key.json()["thumb"], by_key.json()["person"]) == ("down", "bob@example.com")
    assert set(Feedback.objects.values_list("thumb_up", "api_key__name")) == {(True, None), (False, "shop")}


def test_a_pair_is_one_pair_in_either_order(say: Say, team: Team) -> None:
    one, two, three = (answer_of(team) for _n in range(3))

    say(generation=one, other=two, preferred=two)
    turned = say(generation=two, other=one, preferred=None).json()
    say(generation=three, other=one, preferred=one)

    assert (turned["generation"], turned["other"], turned["preferred"]) == (str(one.uid), str(two.uid), None)
    assert set(Feedback.objects.values_list("generation", "other", "preferred")) == {
        (one.pk, two.pk, None),
        (one.pk, three.pk, one.pk),
    }


def test_what_cannot_be_is_refused_by_name_and_leaves_nothing(say: Say, team: Team, other_team: Team) -> None:
    answer, other, third = (answer_of(team) for _n in range(3))
    theirs, corrected = answer_of(other_team), answer_of(team)
    correction = entry_of(corrected.reservation, kind="correction")

    def refused(**body: Any) -> tuple[int, str]:
        problem = say(**body).json()
        return problem["status"], problem.get("field") or ",".join(problem["errors"])

    for missing in (theirs, correction, "0198c0de-0000-7000-8000-000000000000"):
        assert refused(generation=missing, thumb="up") == (404, "generation")
        assert refused(generation=answer, other=missing, preferred=None) == (404, "generation")
    assert refused(generation="the first", thumb="up") == (400, "generation")
    assert refused(generation=answer) == (400, "rating")
    assert refused(generation=answer, rating=3, thumb="up") == (400, "rating")
    assert refused(generation=answer, rating=6) == (400, "rating")
    assert refused(generation=answer, rating=3, scale={"low": 5, "high": 1}) == (400, "scale")
    assert refused(generation=answer, thumb="sideways") == (400, "thumb")
    assert refused(generation=answer, other=other) == (400, "preferred")
    assert refused(generation=answer, other=answer, preferred=None) == (400, "other")
    assert refused(generation=answer, other=other, preferred=third) == (400, "preferred")
    assert not Feedback.objects.exists()


def test_every_role_may_say_something_and_a_rater_reads_nothing(
    client: Client, people: dict[str, User], team: Team
) -> None:
    answer = answer_of(team)
    found = {}
    for name, person in people.items():
        client.force_login(person)
        found[name] = (
            saying(client)(generation=answer, thumb="up").status_code,
            client.get(reverse("api_feedback")).status_code,
        )

    assert found == {
        **dict.fromkeys(("alice", "adam", "bob", "vera"), (201, 200)),
        "rita": (201, 403),
        "charlie": (404, 200),
    }


def test_the_list_is_of_a_generation_a_model_or_days_of_the_teams_calendar(
    say: Say, client: Client, team: Team
) -> None:
    model = LanguageModelFactory.create(team=team)
    mine, other = answer_of(team, model), answer_of(team)
    alone = say(generation=other, rating=5).json()["uid"]
    pair = say(generation=mine, other=other, preferred=mine).json()["uid"]
    thumb = say(generation=mine, thumb="up").json()["uid"]
    # Half past eleven in the evening in UTC is the next day in Berlin.
    Feedback.objects.filter(uid=alone).update(given_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))

    def listed(**query: Any) -> list[str]:
        return [row["uid"] for row in client.get(reverse("api_feedback"), query).json()["results"]]

    assert listed() == [thumb, pair, alone]
    assert listed(generation=str(other.uid)) == [pair, alone]
    assert listed(model=str(model.uid)) == [thumb, pair]
    assert listed(first="2026-03-02", last="2026-03-02") == [alone]
    assert listed(last="2026-03-01") == []
    assert client.get(reverse("api_feedback"), {"first": "2026-03-02", "last": "2026-03-01"}).status_code == 400


def withdrawn(client: Client, row: Any, **headers: str) -> int:
    uid = row.uid if isinstance(row, Feedback) else row.json()["uid"]
    return client.delete(reverse("api_feedback_said", args=[uid]), headers=headers).status_code


def test_who_gave_it_withdraws_it_and_the_audit_trail_keeps_what_was_said(
    say: Say, client: Client, team: Team, bob: User
) -> None:
    answer = answer_of(team)
    said = say(generation=answer, rating=2, comment="Too long.")

    assert [withdrawn(client, said), withdrawn(client, said)] == [204, 404]

    assert client.get(reverse("api_feedback")).json()["results"] == []
    event = AuditEvent.objects.filter(verb="feedback.withdrawn").get()
    assert (event.object_uid, event.actor) == (UUID(said.json()["uid"]), bob)
    assert event.facts == {
        "kind": "rating", "generation": str(answer.uid), "rating": 2, "scale": [1, 5], "comment": "Too long.",
        "given_by": "bob@example.com",
    }  # fmt: skip
    # Said anew, it is there anew.
    assert say(generation=answer, rating=5).status_code == 201
    assert Feedback.objects.get().rating == 5


def test_of_others_an_admin_alone_withdraws_it(client: Client, people: dict[str, User], team: Team, bob: User) -> None:
    found = {}
    for name, person in people.items():
        row = FeedbackFactory.create(team=team, person=bob)
        client.force_login(person)
        found[name] = withdrawn(client, row)

    assert found == {
        "alice": 204, "adam": 204, "bob": 204, "vera": 403, "rita": 403, "charlie": 404
    }  # fmt: skip
    by_admin = AuditEvent.objects.filter(verb="feedback.withdrawn", actor=people["adam"]).get()
    assert by_admin.facts["given_by"] == "bob@example.com"


def test_a_key_withdraws_only_what_it_said_and_its_person_that_too(
    say: Say, client: Client, team: Team, alice: User
) -> None:
    # Also the key of an owner: what a program may do is to say something.
    text = api_key_create(actor=alice, team=team, name="shop", scopes=["generate", "write"]).text
    key = {"Authorization": f"Bearer {text}"}
    by_bob = say(generation=answer_of(team), thumb="up")
    by_key, again = (saying(Client(), **key)(generation=answer_of(team), thumb="down") for _n in range(2))

    assert withdrawn(Client(), by_bob, **key) == 403
    assert withdrawn(client, by_key) == 403
    assert withdrawn(Client(), by_key, **key) == 204
    client.force_login(alice)
    assert withdrawn(client, again) == 204
    assert Feedback.objects.get().person.email == "bob@example.com"


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_what_is_withdrawn_twice_at_once_is_withdrawn_once(team: Team, bob: User) -> None:
    row = FeedbackFactory.create(team=team, person=bob)

    with pytest.raises(NotFound, match="withdrawn already"):
        second_of_two(
            lambda: feedback_withdraw(actor=bob, feedback=row), lambda: feedback_withdraw(actor=bob, feedback=row)
        )

    assert AuditEvent.objects.filter(verb="feedback.withdrawn").count() == 1


@pytest.mark.both_databases
def test_the_database_holds_one_row_for_a_giver_and_no_row_that_says_nothing(team: Team, bob: User) -> None:
    answer = answer_of(team)
    FeedbackFactory.create(team=team, generation=answer, person=bob)
    wrong: list[dict[str, Any]] = [
        {"thumb_up": False},
        {"kind": "rating", "thumb_up": None},
        {"kind": "rating", "thumb_up": None, "rating": 6, "scale_low": 1, "scale_high": 5},
        {"kind": "choice", "thumb_up": None},
        {"kind": "choice", "thumb_up": None, "other": answer},
    ]
    for fields in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            FeedbackFactory.create(team=team, generation=answer, person=bob, **fields)


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_what_is_said_twice_at_once_is_one_row_with_both_in_the_audit_trail(team: Team, bob: User) -> None:
    answer = answer_of(team)

    def thumb(up: bool) -> Feedback:
        return feedback_give(actor=bob, generation=answer, kind="thumb", thumb_up=up)

    second_of_two(lambda: thumb(True), lambda: thumb(False))

    assert Feedback.objects.get().thumb_up is False
    assert sorted(AuditEvent.objects.values_list("verb", flat=True)) == ["feedback.changed", "feedback.given"]
