"""Where alerts go, on its page: places added, tested and removed by those who manage a team, and read by the others."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing import alert_sending, services
from apps.billing.models import AlertDelivery, AlertDestination
from apps.billing.tests.alert_world import raised
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.tests.factories import AlertDestinationFactory
from apps.core.tests.pressing import Walker

pytestmark = pytest.mark.django_db


def opened(person: User, team: Team) -> Walker:
    found = Walker(person)
    found.open(reverse("alerts", args=[team.slug]))
    return found


def test_a_webhook_s_secret_is_shown_once(team: Team, alice: User) -> None:
    page = opened(alice, team)
    page.press("Add place", kind="webhook", address="https://hooks.example.org/money?team=7")
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", page.text)

    made = AlertDestination.objects.get()
    assert made.address == "https://hooks.example.org/money?team=7"
    assert made.secret.open(context=made.secret_context) == secret
    page.reload()
    assert "hooks.example.org" in page.text
    assert "whsec_" not in page.client.get(page.path).content.decode()


@pytest.mark.parametrize(
    ("kind", "address", "said"),
    [
        ("webhook", "", "Give the address"),
        ("webhook", "https://10.0.0.7/hook", "inside a network"),
        ("webhook", "https://[::1]/hook", "inside a network"),
        ("webhook", "https://metadata.internal/hook", "inside a network"),
        ("webhook", "http://hooks.example.org/", "must begin with https"),
        ("webhook", "ftp://hooks.example.org/", "no address of a webhook"),
        ("webhook", "https://me:secret@hooks.example.org/", "must not hold a name"),
        ("chat", "https://hooks.slack.com/archive/C1", "no incoming webhook of Slack"),
        ("chat", "http://169.254.169.254/latest/", "inside a network"),
        ("email", "nobody", "valid email"),
    ],
)
def test_a_wrong_address_is_said_at_its_field(team: Team, alice: User, kind: str, address: str, said: str) -> None:
    page = opened(alice, team)
    page.press("Add place", kind=kind, address=address)

    assert page.status == 422
    assert said in page.text
    assert AlertDestination.objects.count() == 0


def test_an_operator_can_allow_a_host(team: Team, alice: User, settings: Any) -> None:
    settings.WEBHOOK_HOSTS = ["hooks.internal:8080"]
    made, _ = services.alert_destination_create(
        actor=alice, team=team, kind="webhook", address="http://hooks.internal:8080/x"
    )
    assert made.address == "http://hooks.internal:8080/x"
    with pytest.raises(ApplicationError, match="inside a network"):
        services.alert_destination_create(actor=alice, team=team, kind="webhook", address="http://hooks.internal/x")


def test_a_place_is_tested_and_its_messages_are_listed_with_why_they_were_not_sent(team: Team, alice: User) -> None:
    page = opened(alice, team)
    assert "This installation has no mail server" in page.text
    page.press("Add place", kind="email", address="")
    page.press("Send test")
    assert "Pending" in page.text
    page.press("Send test")
    assert "on its way there already" in page.client.get(page.path).content.decode() + page.page.text_content()

    alert_sending.work()
    page.reload()
    row = " ".join(page.main.xpath(".//div[@id='alert-log']//tbody/tr")[0].text_content().split())
    assert row.startswith("A test Not sent This installation has no mail server.")
    assert "alice@example.com" in row


def test_alerts_stand_on_the_page_and_on_their_budget_with_both_numbers(team: Team, adam: User) -> None:
    alert = raised(team)
    budget = alert.budget_period.budget  # type: ignore[union-attr]
    for address in (reverse("alerts", args=[team.slug]), reverse("budget", args=[team.slug, budget.uid])):
        page = Walker(adam)
        page.open(address)
        text = page.text.replace("\u00a0", " ")
        assert "80 % of a budget is spent: The whole team" in text
        assert "$4.00 of $5.00 is spent and $0.25 is held" in text


def test_with_a_team_s_first_budget_its_alerts_go_to_who_manages_it_until_that_is_removed(
    team: Team, alice: User
) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=5)
    place = AlertDestination.objects.get()
    assert (place.kind, place.address) == ("email", "")

    services.alert_destination_remove(actor=alice, destination=place)
    services.budget_create(actor=alice, team=team, limit_nanousd=5, period="daily")
    assert AlertDestination.objects.filter(removed_at=None).count() == 0
    page = opened(alice, team)
    page.press("Add place", kind="email", address="")
    assert "Owners and admins" in page.text


def test_a_place_is_there_once_and_places_are_few(team: Team, alice: User) -> None:
    def add(n: int) -> None:
        services.alert_destination_create(actor=alice, team=team, kind="email", address=f"a{n}@example.org")

    add(0)
    with pytest.raises(Conflict, match="already"):
        add(0)
    for n in range(1, services.MOST_DESTINATIONS):
        add(n)
    with pytest.raises(Conflict, match="at most"):
        add(99)


@pytest.mark.parametrize("name", ["bob", "vera"])
def test_others_read_and_change_nothing(people: dict[str, User], team: Team, client: Client, name: str) -> None:
    place = AlertDestinationFactory.create(team=team)
    client.force_login(people[name])
    text = client.get(reverse("alerts", args=[team.slug])).content.decode()

    assert place.address in text
    assert "Send test" not in text
    assert "Add place" not in text
    for press in (services.alert_destination_test, services.alert_destination_remove):
        with pytest.raises(NotAllowed):
            press(actor=people[name], destination=place)
    assert AlertDelivery.objects.count() == 0


def test_what_is_another_team_s_is_not_found(team: Team, other_team: Team, alice: User, client: Client) -> None:
    theirs = AlertDestinationFactory.create(team=other_team)
    raised(other_team)
    client.force_login(alice)
    for route in ("alert_test", "alert_remove"):
        assert client.post(reverse(route, args=[team.slug, theirs.uid])).status_code == 404
    text = client.get(reverse("alerts", args=[team.slug])).content.decode()

    assert theirs.address not in text
    assert "No budget has reached a level" in text
    theirs.refresh_from_db()
    assert theirs.removed_at is None
