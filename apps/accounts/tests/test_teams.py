"""Teams and their members: who may change what, and that a team always has an owner."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Membership, Team, User
from apps.accounts.selectors import member_rows
from apps.accounts.services.people import (
    member_add,
    member_remove,
    member_role_change,
    team_create,
    team_text_may_leave_set,
    user_create,
)
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent


@pytest.fixture(autouse=True)
def embedded(settings: Any) -> None:
    settings.EMBEDDED = True


def membership(user: User) -> Membership:
    return Membership.objects.get(user=user)


def test_a_new_team_has_its_maker_as_owner_and_a_slug_of_its_own(alice: User) -> None:
    first, second = (team_create(actor=alice, name="Tea Shop") for _ in range(2))

    assert [first.slug, second.slug] == ["tea-shop", "tea-shop-2"]
    assert Membership.objects.get(team=second).role == "owner"
    assert AuditEvent.objects.filter(team=second, verb="team.created").count() == 1


@pytest.mark.parametrize(("name", "time_zone"), [(" ", "UTC"), ("Tea", "Mars/Olympus")])
def test_a_team_needs_a_name_and_a_real_time_zone(alice: User, name: str, time_zone: str) -> None:
    with pytest.raises(ApplicationError):
        team_create(actor=alice, name=name, time_zone=time_zone)


def test_whoever_manages_the_team_decides_whether_text_may_leave(team: Team, adam: User, bob: User) -> None:
    with pytest.raises(NotAllowed):
        team_text_may_leave_set(actor=bob, team=team, allowed=False)
    for _again in range(2):
        team_text_may_leave_set(actor=adam, team=team, allowed=False)

    team.refresh_from_db()
    assert team.text_may_leave is False
    assert AuditEvent.objects.get(verb="team.text_may_leave_set").facts == {"allowed": False}


def test_an_unknown_address_becomes_an_account_with_a_link(team: Team, alice: User) -> None:
    added = member_add(actor=alice, team=team, email="New@Example.com", role="viewer")

    assert added.membership.user.email == "new@example.com"
    assert added.link_token


def test_a_known_person_is_added_without_a_link(team: Team, alice: User, charlie: User) -> None:
    assert member_add(actor=alice, team=team, email="CHARLIE@example.com", role="viewer").link_token is None


def test_elsewhere_than_on_one_machine_an_unknown_address_is_refused(settings: Any, team: Team, alice: User) -> None:
    settings.EMBEDDED = False

    with pytest.raises(ApplicationError) as refused:
        member_add(actor=alice, team=team, email="new@example.com", role="viewer")

    assert refused.value.field == "email"
    assert not User.objects.filter(email="new@example.com").exists()


def test_nobody_is_added_twice(team: Team, alice: User, bob: User) -> None:
    with pytest.raises(Conflict):
        member_add(actor=alice, team=team, email=bob.email, role="viewer")


def test_an_admin_adds_members_but_makes_no_owner(team: Team, adam: User, bob: User) -> None:
    member_add(actor=adam, team=team, email="new@example.com", role="editor")

    with pytest.raises(NotAllowed):
        member_add(actor=adam, team=team, email="other@example.com", role="owner")
    with pytest.raises(NotAllowed):
        member_role_change(actor=adam, membership=membership(bob), role="owner")


def test_an_admin_does_not_touch_an_owner(team: Team, alice: User, adam: User) -> None:
    with pytest.raises(NotAllowed):
        member_role_change(actor=adam, membership=membership(alice), role="viewer")
    with pytest.raises(NotAllowed):
        member_remove(actor=adam, membership=membership(alice))


def test_an_editor_changes_no_role(team: Team, bob: User, vera: User) -> None:
    with pytest.raises(NotAllowed):
        member_role_change(actor=bob, membership=membership(vera), role="editor")


def test_the_last_owner_neither_leaves_nor_steps_down(team: Team, alice: User) -> None:
    with pytest.raises(Conflict):
        member_remove(actor=alice, membership=membership(alice))
    with pytest.raises(Conflict):
        member_role_change(actor=alice, membership=membership(alice), role="admin")


def test_an_owner_leaves_when_there_is_another(team: Team, alice: User, bob: User) -> None:
    member_role_change(actor=alice, membership=membership(bob), role="owner")

    member_remove(actor=alice, membership=membership(alice))

    assert list(Membership.objects.filter(team=team, role="owner").values_list("user", flat=True)) == [bob.pk]


def test_anybody_may_leave(team: Team, rita: User, alice: User) -> None:
    member_remove(actor=rita, membership=membership(rita))

    assert not Membership.objects.filter(user=rita).exists()
    assert AuditEvent.objects.get(verb="membership.removed").facts == {"email": rita.email, "role": "rater"}


def test_a_role_that_does_not_exist_is_refused(team: Team, alice: User, bob: User) -> None:
    with pytest.raises(ApplicationError):
        member_role_change(actor=alice, membership=membership(bob), role="emperor")


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_each_other_at_once_leave_one(settings: Any) -> None:
    alice, bob = (user_create(actor=None, email=f"{name}@example.com") for name in ("alice", "bob"))
    team = team_create(actor=alice, name="Two")
    member_add(actor=alice, team=team, email=bob.email, role="owner")
    barrier, refused = threading.Barrier(2), []

    def remove(actor: User, target: User) -> None:
        try:
            barrier.wait(5)
            member_remove(actor=actor, membership=Membership.objects.get(user=target))
        except (Conflict, NotAllowed, Membership.DoesNotExist) as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=pair) for pair in ((alice, bob), (bob, alice))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert Membership.objects.filter(team=team, role="owner").count() == 1
    assert len(refused) == 1


def test_the_page_shows_the_link_once(client: Client, team: Team, alice: User) -> None:
    client.force_login(alice)
    url = reverse("members", args=[team.slug])

    answer = client.post(url, {"email": "new@example.com", "role": "editor"}).content.decode()

    assert "/sign-in/link/" in answer
    assert "/sign-in/link/" not in client.get(url).content.decode()


def test_the_page_keeps_what_was_typed_and_says_what_is_wrong(
    client: Client, team: Team, alice: User, bob: User
) -> None:
    client.force_login(alice)

    answer = client.post(reverse("members", args=[team.slug]), {"email": bob.email, "role": "viewer"})

    assert answer.status_code == 422
    assert bob.email in answer.content.decode()
    assert "in this team already" in answer.content.decode()


def test_somebody_who_leaves_lands_on_their_start_page(client: Client, team: Team, alice: User, bob: User) -> None:
    client.force_login(bob)
    uid = membership(bob).uid

    answer = client.post(reverse("member_remove", args=[team.slug, uid]), follow=True)

    assert answer.status_code == 200
    assert "You are in no team yet" in answer.content.decode()


def test_a_member_of_another_team_is_not_found(client: Client, team: Team, alice: User, charlie: User) -> None:
    client.force_login(alice)
    stranger = membership(charlie).uid

    assert client.post(reverse("member_remove", args=[team.slug, stranger])).status_code == 404
    assert Membership.objects.filter(uid=stranger).exists()


@pytest.mark.parametrize(
    ("reader", "offered"), [("alice", {"alice", "adam", "bob"}), ("adam", {"adam", "bob"}), ("bob", set())]
)
def test_a_member_list_offers_the_reader_what_their_role_allows(
    reader: str, offered: set[str], team: Team, people: dict[str, User]
) -> None:
    members = Membership.objects.filter(team=team, user__in=[people[name] for name in ("alice", "adam", "bob")])

    rows = member_rows(user=people[reader], team=team, members=members.select_related("user"))

    assert {row.member.user.name.lower() for row in rows if row.changeable} == offered
