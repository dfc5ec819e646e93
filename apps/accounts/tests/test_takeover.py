"""Adding somebody's address to a team never opens what that person has elsewhere."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import SignInLink, Team, User
from apps.accounts.services.people import member_add, sign_in_link_create, sign_in_link_use, team_create, user_create
from apps.core.errors import Conflict, NotAllowed
from apps.core.models import AuditEvent
from apps.core.tests.at_once import second_of_two


@pytest.fixture(autouse=True)
def embedded(settings: Any) -> None:
    settings.EMBEDDED = True


@pytest.fixture
def nora(db: None) -> User:
    """Has an account that an operator made, and has never signed in."""
    return user_create(actor=None, email="nora@example.com")


def add_on_the_page(client: Client, team: Team, admin: User, email: str) -> str:
    client.force_login(admin)
    url = reverse("members", args=[team.slug])
    return client.post(url, {"email": email, "role": "viewer"}, follow=True).content.decode()


@pytest.mark.parametrize("right", ["is_superuser", "is_staff"])
def test_an_operator_who_has_not_signed_in_yet_is_added_without_a_link(
    client: Client, team: Team, adam: User, nora: User, right: str
) -> None:
    User.objects.filter(pk=nora.pk).update(**{right: True})

    page = add_on_the_page(client, team, adam, nora.email)

    assert "is now in the team" in page
    assert "/sign-in/link/" not in page
    nora.refresh_from_db()
    with pytest.raises(NotAllowed):
        sign_in_link_create(actor=adam, user=nora)
    assert SignInLink.objects.count() == 0


def test_somebody_who_waits_for_another_teams_link_is_added_without_one(
    client: Client, team: Team, adam: User, other_team: Team, charlie: User, nora: User
) -> None:
    member_add(actor=charlie, team=other_team, email=nora.email, role="owner")

    assert "/sign-in/link/" not in add_on_the_page(client, team, adam, nora.email)
    with pytest.raises(NotAllowed):
        sign_in_link_create(actor=adam, user=nora)
    assert SignInLink.objects.count() == 0


def test_an_account_made_by_somebody_else_is_added_without_a_link(team: Team, adam: User, nora: User) -> None:
    assert member_add(actor=adam, team=team, email=nora.email, role="viewer").link_token is None


def test_whoever_made_the_account_may_make_a_link_for_it_until_it_is_used(team: Team, adam: User) -> None:
    added = member_add(actor=adam, team=team, email="new@example.com", role="viewer")
    new = added.membership.user

    assert sign_in_link_create(actor=adam, user=new)

    Client().get(reverse("sign_in_link", args=[added.link_token]))
    new.refresh_from_db()
    with pytest.raises(NotAllowed):
        sign_in_link_create(actor=adam, user=new)


def test_the_event_of_a_link_names_who_was_signed_in_before(alice: User, bob: User) -> None:
    for before in (bob, alice, None):
        sign_in_link_use(actor=before, token=sign_in_link_create(actor=None, user=alice))

    facts = AuditEvent.objects.filter(verb="user.signed_in").order_by("id").values_list("facts", flat=True)
    assert list(facts) == [{"method": "link", "signed_in_before": bob.email}, {"method": "link"}, {"method": "link"}]


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_of_two_who_make_the_same_account_at_once_the_second_is_told_so() -> None:
    with pytest.raises(Conflict, match="already an account"):
        second_of_two(
            lambda: user_create(actor=None, email="nora@example.com"),
            lambda: user_create(actor=None, email="Nora@example.com"),
        )
    assert User.objects.count() == 1


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_of_two_who_make_a_team_of_the_same_name_at_once_none_meets_an_error_of_ours() -> None:
    owner = user_create(actor=None, email="nora@example.com")

    def make() -> Team | Conflict:
        try:
            return team_create(actor=owner, name="Tea")
        except Conflict as error:
            return error

    second = second_of_two(make, make)

    # PostgreSQL lets both look before either has written; SQLite lets the second one look afterwards.
    assert isinstance(second, Conflict) or second.slug == "tea-2"
