"""One-time sign-in links: once, soon, here, and for nobody else's account."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import SignInLink, Team, User
from apps.accounts.services.people import LINK_LIFETIME, sign_in_link_create, sign_in_link_use, user_create
from apps.core.errors import ApplicationError, NotAllowed
from apps.core.models import AuditEvent


@pytest.fixture(autouse=True)
def embedded(settings: Any) -> None:
    settings.EMBEDDED = True


def path_of(token: str) -> str:
    return reverse("sign_in_link", args=[token])


def test_a_link_signs_in_and_opens_the_page_it_names(client: Client, team: Team, alice: User) -> None:
    token = sign_in_link_create(actor=None, user=alice)

    answer = client.get(path_of(token), {"next": f"/t/{team.slug}/jobs/"})

    assert answer.headers["Location"] == f"/t/{team.slug}/jobs/"
    assert client.session["_auth_user_id"] == str(alice.pk)
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_link_works_once(client: Client, alice: User) -> None:
    token = sign_in_link_create(actor=None, user=alice)
    Client().get(path_of(token))

    second = client.get(path_of(token))

    assert second.status_code == 410
    assert "_auth_user_id" not in client.session
    assert "make login" in second.content.decode()


@pytest.mark.parametrize(("embedded", "shown"), [(True, True), (False, False)])
def test_whoever_has_no_password_is_told_at_sign_in_how_to_get_a_link(
    embedded: bool, shown: bool, settings: Any, client: Client, db: None
) -> None:
    settings.EMBEDDED = embedded

    assert ("make login" in client.get(reverse("sign_in")).content.decode()) is shown
    assert ("make login" in client.get(path_of("spent")).content.decode()) is shown


def test_a_link_is_refused_after_its_time(client: Client, alice: User) -> None:
    token = sign_in_link_create(actor=None, user=alice)

    with time_machine.travel(timezone.now() + LINK_LIFETIME + timedelta(seconds=1)):
        assert client.get(path_of(token)).status_code == 410


def test_looking_at_a_link_without_following_it_does_not_spend_it(client: Client, alice: User) -> None:
    token = sign_in_link_create(actor=None, user=alice)

    assert client.head(path_of(token)).status_code == 405
    assert sign_in_link_use(actor=None, token=token) == alice


def test_a_link_does_not_lead_to_another_site(client: Client, alice: User) -> None:
    for target in ("https://example.org/", "//example.org/", "/\\example.org", "javascript:alert(1)"):
        token = sign_in_link_create(actor=None, user=alice)
        assert client.get(path_of(token), {"next": target}).headers["Location"] == "/"


def test_only_the_hash_of_a_token_is_stored(alice: User) -> None:
    token = sign_in_link_create(actor=None, user=alice)

    assert token not in str(SignInLink.objects.values())


def test_a_link_of_a_switched_off_account_signs_nobody_in(client: Client, alice: User) -> None:
    token = sign_in_link_create(actor=None, user=alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert client.get(path_of(token)).status_code == 410


def test_links_exist_only_on_one_machine(settings: Any, client: Client, alice: User) -> None:
    token = sign_in_link_create(actor=None, user=alice)
    settings.EMBEDDED = False

    assert client.get(path_of(token)).status_code == 410
    with pytest.raises(ApplicationError):
        sign_in_link_create(actor=None, user=alice)


def test_nobody_makes_a_link_for_somebody_who_has_an_account_already(alice: User, bob: User) -> None:
    with pytest.raises(NotAllowed):
        sign_in_link_create(actor=alice, user=bob)


def test_a_link_and_its_use_leave_events(alice: User) -> None:
    sign_in_link_use(actor=None, token=sign_in_link_create(actor=None, user=alice))

    assert list(AuditEvent.objects.order_by("id").values_list("verb", flat=True)) == [
        "sign_in_link.created",
        "user.signed_in",
    ]


def test_the_command_prints_a_link_of_the_oldest_teams_owner(
    client: Client, alice: User, bob: User, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPT_PORT", "8123")

    call_command("login_link", "--next", "/account/")

    link = capsys.readouterr().out.strip()
    assert link.startswith("http://127.0.0.1:8123/sign-in/link/")
    client.get(link.removeprefix("http://127.0.0.1:8123"))
    assert client.session["_auth_user_id"] == str(alice.pk)


def test_the_command_takes_an_address_in_any_case(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    user_create(actor=None, email="Nora@Example.com")

    call_command("login_link", "--email", "NORA@example.com")

    assert "/sign-in/link/" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--email", "nobody@example.com"], ["--next", "https://example.org/"], []])
def test_the_command_says_what_is_wrong(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("login_link", *arguments)
