"""Signing in with a password, the lockout, and one's own account."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.models import AuditEvent
from apps.core.tests.factories import PASSWORD

NEW = "a quite different sentence"


def sign_in(client: Client, email: str, password: str, **more: str) -> Any:
    return client.post(reverse("sign_in"), {"email": email, "password": password, **more})


def test_a_password_signs_in_whatever_the_case_of_the_address(client: Client, alice: User) -> None:
    answer = sign_in(client, "ALICE@example.com", PASSWORD)

    assert answer.headers["Location"] == "/"
    assert client.session["_auth_user_id"] == str(alice.pk)


def test_a_wrong_password_and_an_unknown_address_read_alike(client: Client, alice: User) -> None:
    wrong = sign_in(client, alice.email, "wrong")
    unknown = sign_in(client, "nobody@example.com", "wrong")

    sentence = "This e-mail address and password do not belong together."
    assert wrong.status_code == unknown.status_code == 422
    assert sentence in wrong.content.decode()
    assert sentence in unknown.content.decode()


def test_the_page_that_was_asked_for_opens_afterwards(client: Client, team: Team, alice: User) -> None:
    asked = client.get(f"/t/{team.slug}/jobs/?state=active")
    assert asked.headers["Location"] == f"/sign-in/?next=/t/{team.slug}/jobs/%3Fstate%3Dactive"

    answer = sign_in(client, alice.email, PASSWORD, next=f"/t/{team.slug}/jobs/?state=active")

    assert answer.headers["Location"] == f"/t/{team.slug}/jobs/?state=active"


def test_a_part_of_a_page_sends_the_whole_page_to_the_sign_in(client: Client, team: Team) -> None:
    current = f"http://testserver/t/{team.slug}/jobs/"

    answer = client.get(f"/t/{team.slug}/jobs/?part=rows", headers={"HX-Request": "true", "HX-Current-URL": current})

    assert answer.headers["HX-Redirect"] == f"/sign-in/?next=/t/{team.slug}/jobs/"


def test_ten_wrong_tries_lock_the_right_password_out_in_plain_words(settings: Any, client: Client, alice: User) -> None:
    settings.AXES_ENABLED = True
    answers = [sign_in(client, alice.email, "wrong") for _ in range(10)]

    last = sign_in(client, alice.email, PASSWORD)

    assert answers[8].status_code == 422
    assert last.status_code == 429
    assert "Wait 15 minutes" in last.content.decode()
    assert "_auth_user_id" not in client.session


def test_signing_out_needs_a_post(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(reverse("sign_out")).status_code == 405

    client.post(reverse("sign_out"))

    assert "_auth_user_id" not in client.session


def test_the_only_team_opens_by_itself_and_several_are_listed(
    client: Client, team: Team, other_team: Team, alice: User
) -> None:
    from apps.core.tests.factories import MembershipFactory

    client.force_login(alice)
    assert client.get("/").headers["Location"] == f"/t/{team.slug}/"

    MembershipFactory.create(team=other_team, user=alice)

    page = client.get("/").content.decode()
    assert f"/t/{team.slug}/" in page
    assert f"/t/{other_team.slug}/" in page


def test_a_name_is_saved_with_an_event(client: Client, alice: User) -> None:
    client.force_login(alice)

    client.post(reverse("account"), {"name": "  Alice Liddell "})

    alice.refresh_from_db()
    assert alice.name == "Alice Liddell"
    assert AuditEvent.objects.get(verb="user.updated").actor == alice


def test_a_changed_password_keeps_this_browser_and_signs_out_the_others(client: Client, alice: User) -> None:
    other = Client()
    for browser in (client, other):
        browser.force_login(alice)

    answer = client.post(reverse("account_password"), {"current": PASSWORD, "new": NEW})

    assert answer.status_code == 302
    assert client.get(reverse("account")).status_code == 200
    assert other.get(reverse("account")).status_code == 302
    assert PASSWORD not in str(AuditEvent.objects.values())


@pytest.mark.parametrize(
    ("current", "new", "sentence"),
    [
        ("wrong", NEW, "This is not your current password."),
        (PASSWORD, "short", "at least 12 characters"),
        (PASSWORD, "password1234", "too common"),
    ],
)
def test_a_refused_password_says_why(client: Client, alice: User, current: str, new: str, sentence: str) -> None:
    client.force_login(alice)

    answer = client.post(reverse("account_password"), {"current": current, "new": new})

    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_somebody_who_signed_in_by_link_chooses_a_first_password_without_an_old_one(
    client: Client, alice: User
) -> None:
    alice.set_unusable_password()
    alice.save()
    client.force_login(alice)

    assert client.post(reverse("account_password"), {"new": NEW}).status_code == 302

    alice.refresh_from_db()
    assert alice.check_password(NEW)
