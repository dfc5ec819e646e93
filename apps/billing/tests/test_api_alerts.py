"""Alerts by REST: what was told with its messages, and places for alerts, whose secret comes once."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.billing.models import AlertDelivery, AlertDestination
from apps.billing.tests.alert_world import raised
from apps.core.models import IdempotentAnswer
from apps.core.tests.factories import AlertDestinationFactory

pytestmark = pytest.mark.django_db
WEBHOOK = {"kind": "webhook", "address": "https://hooks.example.org/money"}
CHAT = {"kind": "chat", "address": "https://chat.example.org/hooks/8f3kq02mzx91"}


@pytest.fixture
def owner(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def add(client: Client, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
    answer = client.post(reverse("api_alert_destinations"), body, content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def listed(client: Client, name: str) -> list[Any]:
    found: list[Any] = client.get(reverse(name)).json()["results"]
    return found


def test_a_webhook_s_secret_is_in_the_first_answer_and_nowhere_else(owner: Client) -> None:
    status, made = add(owner, WEBHOOK, **{"Idempotency-Key": "one"})
    secret = made["secret"]
    place = AlertDestination.objects.get()

    assert (status, secret.startswith("whsec_")) == (201, True)
    assert place.secret.open(context=place.secret_context) == secret
    assert add(owner, WEBHOOK, **{"Idempotency-Key": "one"}) == (201, {**made, "secret": None})
    assert "whsec_" not in IdempotentAnswer.objects.get().body
    (row,) = listed(owner, "api_alert_destinations")
    assert row == {name: value for name, value in made.items() if name != "secret"}
    one = owner.get(reverse("api_alert_destination", args=[made["uid"]]))
    assert (one.json(), "whsec_" in one.content.decode()) == (row, False)
    status, problem = add(owner, WEBHOOK)
    assert (status, problem["code"], problem["title"]) == (409, "conflict", "Alerts go there already.")


def test_the_address_of_a_chat_is_a_secret_and_never_comes_back(owner: Client) -> None:
    _status, made = add(owner, CHAT)
    assert made["secret"] is None
    assert "8f3kq02mzx91" not in str(made) + str(listed(owner, "api_alert_destinations"))
    assert made["address"].startswith("chat.example.org")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "webhook"}, "address"),
        ({"kind": "webhook", "address": "https://10.0.0.7/hook"}, "address"),
        ({"kind": "email", "address": "nobody"}, "address"),
        ({"kind": "pigeon"}, "kind"),
    ],
)
def test_a_wrong_place_is_refused_by_its_field(owner: Client, body: dict[str, Any], field: str) -> None:
    status, problem = add(owner, body)
    assert (status, problem.get("field") == field or field in problem["errors"]) == (400, True)
    assert not AlertDestination.objects.exists()


def test_a_place_is_ended_once_and_can_still_be_read(owner: Client) -> None:
    uid = add(owner, {"kind": "email"})[1]["uid"]
    one = reverse("api_alert_destination", args=[uid])
    assert owner.delete(one).status_code == 204
    assert owner.delete(one).status_code == 409
    assert owner.get(one).json()["removed_at"]
    assert listed(owner, "api_alert_destinations") == []


def test_alerts_are_listed_with_their_messages_at_the_cost_of_one(owner: Client, team: Team) -> None:
    def told(period: str) -> None:
        place = AlertDestinationFactory.create(team=team)
        alert = raised(team, period=period)
        AlertDelivery.objects.create(
            alert=alert, destination=place, recipient="a@example.org", state="failed", attempts=6,
            error="The message was not accepted: the answer was 404.", next_attempt_at=timezone.now(),
        )  # fmt: skip

    told("monthly")
    with CaptureQueriesContext(connection) as one:
        (row,) = listed(owner, "api_alerts")
    assert (row["kind"], row["level_percent"], row["spent_nanousd"]) == ("spent", 80, 4_000_000_000)
    assert row["title"].replace("\u00a0", " ") == "80 % of a budget is spent: The whole team"
    (message,) = row["deliveries"]
    assert (message["state"], message["attempts"], message["next_attempt_at"]) == ("failed", 6, None)
    assert message["error"] == "The message was not accepted: the answer was 404."
    assert message["destination"] == str(AlertDestination.objects.get().uid)
    told("daily")
    with CaptureQueriesContext(connection) as two:
        assert [len(each["deliveries"]) for each in listed(owner, "api_alerts")] == [1, 1]
    assert len(one) == len(two)


def test_others_read_and_neither_they_nor_an_api_key_change_places(
    client: Client, team: Team, alice: User, bob: User
) -> None:
    place = AlertDestinationFactory.create(team=team)
    one = reverse("api_alert_destination", args=[place.uid])
    key = api_key_create(actor=alice, team=team, name="Nightly", scopes=["read", "write"]).text
    bearer = {"Authorization": f"Bearer {key}"}
    assert client.get(one, headers=bearer).status_code == 200
    assert [add(client, WEBHOOK, **bearer)[0], client.delete(one, headers=bearer).status_code] == [403, 403]
    client.force_login(bob)
    assert client.get(one).status_code == 200
    assert [add(client, WEBHOOK)[0], client.delete(one).status_code] == [403, 403]
    place.refresh_from_db()
    assert place.removed_at is None
