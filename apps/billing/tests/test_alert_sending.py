"""Alerts on their way: by mail, by signed webhook, to a chat; tried again, given up, and never inside the network."""

import base64
import hashlib
import hmac
import json
import logging
import smtplib
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from apps.accounts.models import Team, User
from apps.billing import alert_sending, services, tasks
from apps.billing.models import AlertDelivery, AlertDestination
from apps.billing.tests.alert_world import Receiver, raised, receiver
from apps.core.encryption import seal
from apps.core.housekeeping import registered
from apps.core.models import LiveEvent
from apps.core.tests.factories import AlertDestinationFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings: Any) -> Iterator[Receiver]:
    with receiver() as found:
        settings.WEBHOOK_HOSTS = [found.place]
        yield found


@pytest.fixture
def mail_server(settings: Any) -> None:
    settings.MAIL_AVAILABLE = True
    settings.PUBLIC_URL = "https://llmopt.example.org"


def place(team: Team, actor: User, kind: str, address: str = "") -> tuple[AlertDestination, str]:
    return services.alert_destination_create(actor=actor, team=team, kind=kind, address=address)


def deliveries() -> list[tuple[str, str, int]]:
    return list(AlertDelivery.objects.order_by("id").values_list("recipient", "state", "attempts"))


def due_again() -> None:
    """Let the time until the next try pass."""
    AlertDelivery.objects.filter(state="pending").update(next_attempt_at=timezone.now())


def test_a_webhook_is_signed_so_that_its_receiver_can_check_it(team: Team, alice: User, server: Receiver) -> None:
    _, secret = place(team, alice, "webhook", server.url())
    alert = raised(team)
    before = int(timezone.now().timestamp())
    assert alert_sending.work() == alert_sending.Work(prepared=1, tried=1)

    ((path, headers, body),) = server.got
    assert path == "/hooks/money"
    # As Standard Webhooks 1.0 describes it, computed here from what arrived.
    assert secret.startswith("whsec_")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.digest(base64.b64decode(secret[6:]), signed, hashlib.sha256)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert abs(int(headers["webhook-timestamp"]) - before) < 30
    sent = json.loads(body)
    assert headers["webhook-id"] == sent["id"] == str(AlertDelivery.objects.get().uid)
    assert (sent["type"], sent["level_percent"], sent["alert"]) == ("budget.spent", 80, str(alert.uid))
    assert (sent["spent_nanousd"], sent["held_nanousd"]) == (4_000_000_000, 250_000_000)
    assert (sent["limit_nanousd"], sent["budget"]["period_key"]) == (5_000_000_000, "2026-11")
    assert deliveries() == [("", "sent", 1)]


def test_what_a_receiver_refuses_is_tried_again_later_each_time_and_then_given_up(
    team: Team, alice: User, server: Receiver
) -> None:
    place(team, alice, "webhook", server.url())
    raised(team)
    server.statuses = [500, 302, 404]
    waits = []
    alert_sending.work()
    while (delivery := AlertDelivery.objects.get()).state == "pending":
        waits.append(round((delivery.next_attempt_at - timezone.now()).total_seconds()))
        assert alert_sending.work().tried == 0, "it is not due yet"
        due_again()
        alert_sending.work()

    assert waits == pytest.approx(list(alert_sending.BACKOFF_SECONDS), abs=2)
    assert (delivery.state, delivery.attempts) == ("failed", 6)
    assert delivery.error == "The message was not accepted: the answer was 404."
    assert delivery.closed_at is not None
    assert {path for path, *_ in server.got} == {"/hooks/money"}, "no redirect is followed"
    assert len({headers["webhook-id"] for _, headers, _ in server.got}) == 1


def test_a_receiver_that_comes_back_gets_it(team: Team, alice: User, server: Receiver) -> None:
    place(team, alice, "webhook", server.url())
    raised(team)
    server.statuses = [503, 200]
    alert_sending.work()
    assert AlertDelivery.objects.get().error == "The message was not accepted: the answer was 503."
    due_again()
    alert_sending.work()

    assert deliveries() == [("", "sent", 2)]
    assert AlertDelivery.objects.get().error == ""


def test_a_chat_gets_the_words_as_slack_takes_them(team: Team, alice: User, server: Receiver) -> None:
    made, secret = place(team, alice, "chat", server.url("/hooks/T0/B0/averysecrettoken"))
    raised(team)
    alert_sending.work()

    ((path, headers, body),) = server.got
    assert (path, headers["content-type"]) == ("/hooks/T0/B0/averysecrettoken", "application/json")
    sent = json.loads(body)
    assert sent.keys() == {"text"}
    assert sent["text"].replace("\u00a0", " ").startswith("80 % of a budget is spent: The whole team\n$4.00 of $5.00")
    assert "$0.25 is held" in sent["text"]
    assert (secret, made.address) == ("", "127.0.0.1/…oken")
    assert "averysecret" not in str(AlertDestination.objects.values())


def test_a_chat_that_refuses_is_tried_again_and_its_address_is_in_no_log_and_no_reason(
    team: Team, alice: User, server: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    place(team, alice, "chat", server.url("/hooks/T0/B0/averysecrettoken"))
    raised(team)
    server.statuses = [403]
    with caplog.at_level(logging.INFO):
        alert_sending.work()

    delivery = AlertDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert "403" in delivery.error
    assert "averysecret" not in delivery.error + caplog.text


@pytest.mark.parametrize("kind", ["webhook", "chat"])
@pytest.mark.parametrize("named", ["127.0.0.1", "hooks.example.org"])
def test_an_address_inside_the_network_is_refused_when_it_is_connected_to(
    team: Team, alice: User, server: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch, kind: str, named: str
) -> None:
    """The operator takes the host back; or a public name begins to point inside."""
    if named == "127.0.0.1":
        place(team, alice, kind, server.url("/hooks/abc"))
    else:
        place(team, alice, kind, f"https://{named}/hooks/abc")
        real = socket.getaddrinfo

        def inside(host: Any, port: Any, *args: Any, **more: Any) -> Any:
            return real("127.0.0.1" if host == named else host, server.port, *args, **more)

        monkeypatch.setattr(socket, "getaddrinfo", inside)
    settings.WEBHOOK_HOSTS = []
    raised(team)
    alert_sending.work()

    delivery = AlertDelivery.objects.get()
    assert (delivery.state, server.got) == ("failed", [])
    assert "inside a network" in delivery.error
    assert "operates this server" in delivery.error


def test_mail_goes_to_owners_and_admins_with_both_numbers(
    team: Team, people: dict[str, User], mail_server: None
) -> None:
    User.objects.filter(pk=people["adam"].pk).update(is_active=False)
    place(team, people["alice"], "email")
    place(team, people["alice"], "email", "books@example.org")
    alert = raised(team, person=people["bob"])
    alert_sending.work()

    assert [message.to for message in mail.outbox] == [["alice@example.com"], ["books@example.org"]]
    message = mail.outbox[0]
    assert message.subject.replace("\u00a0", " ") == "LLMOpt: 80 % of a budget is spent: Bob"
    assert "$4.00 of $5.00 is spent and $0.25 is held. Period: November 2026." in message.body
    budget = alert.budget_period.budget  # type: ignore[union-attr]
    assert f"https://llmopt.example.org/t/addresses/settings/budgets/{budget.uid}/" in message.body
    assert {state for _, state, _ in deliveries()} == {"sent"}


def test_without_a_mail_server_a_message_reads_not_sent_and_says_why(team: Team, alice: User) -> None:
    place(team, alice, "email")
    raised(team)
    alert_sending.work()

    assert deliveries() == [("alice@example.com", "not_sent", 1)]
    assert "no mail server" in AlertDelivery.objects.get().error
    assert mail.outbox == []
    assert alert_sending.work().tried == 0


def test_a_mail_server_that_refuses_is_asked_again(
    team: Team, alice: User, mail_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(team, alice, "email", "books@example.org")
    raised(team)

    def refuses(*args: Any) -> None:
        raise smtplib.SMTPServerDisconnected("try later")

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuses)
    alert_sending.work()

    assert deliveries() == [("books@example.org", "pending", 1)]
    assert AlertDelivery.objects.get().error == "The mail server did not take it: try later"


def test_a_delivery_that_another_process_is_at_is_left_alone_until_that_is_dead(
    team: Team, alice: User, server: Receiver
) -> None:
    place(team, alice, "webhook", server.url())
    raised(team)
    alert_sending.prepare()
    soon = timezone.now() + timedelta(seconds=30)
    AlertDelivery.objects.update(claimed_until=soon, attempts=1)
    assert (alert_sending.work().tried, alert_sending.is_anything_due()) == (0, False)

    AlertDelivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert alert_sending.is_anything_due()
    alert_sending.work()
    assert deliveries() == [("", "sent", 2)]


def test_an_alert_gets_its_deliveries_once_and_a_removed_place_none(team: Team, alice: User, server: Receiver) -> None:
    first, _ = place(team, alice, "webhook", server.url("/first"))
    second, _ = place(team, alice, "webhook", server.url("/second"))
    services.alert_destination_remove(actor=alice, destination=first)
    raised(team)
    assert (alert_sending.prepare(), alert_sending.prepare()) == (1, 0)
    assert AlertDelivery.objects.get().destination == second

    services.alert_destination_remove(actor=alice, destination=second)
    second.refresh_from_db()
    assert not second.secret
    assert tasks.alerts_send() == 1
    assert (deliveries(), server.got) == ([("", "not_sent", 1)], [])


def test_a_secret_of_another_row_signs_nothing(team: Team, alice: User, server: Receiver) -> None:
    made, _ = place(team, alice, "webhook", server.url())
    AlertDestination.objects.update(secret=seal("whsec_AAAA", context="alert_destination:another"))
    raised(team)
    alert_sending.work()

    assert AlertDelivery.objects.get().state == "failed"
    assert server.got == []


def test_a_bug_in_one_message_is_logged_and_holds_up_no_other(
    team: Team, alice: User, server: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    AlertDestinationFactory.create(team=team)
    place(team, alice, "webhook", server.url())
    raised(team)

    def broken(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(alert_sending, "_send_mail", broken)
    alert_sending.work()

    assert [state for _, state, _ in deliveries()] == ["pending", "sent"]
    assert "an alert could not be sent" in caplog.text


def test_housekeeping_asks_for_a_sender_only_while_something_is_due(team: Team, alice: User) -> None:
    tasks.alerts_ask()
    assert OrmQ.objects.count() == 0
    raised(team)
    tasks.alerts_ask()
    assert [queued.key for queued in OrmQ.objects.all()] == ["housekeeping"]
    assert "alerts" in registered()


def test_an_alert_is_told_on_the_open_page_to_whom_it_concerns(
    team: Team, people: dict[str, User], client: Client
) -> None:
    def toasts(name: str) -> str:
        client.force_login(people[name])
        answer = client.get(f"/t/{team.slug}/jobs/notices/?since=0", headers={"HX-Request": "true"})
        return answer.content.decode().replace("\u00a0", " ") if answer.status_code == 200 else ""

    raised(team, person=people["bob"])
    alert_sending.prepare()
    LiveEvent.objects.update(created_at=timezone.now() - timedelta(seconds=10))

    for name in ("alice", "adam", "bob"):
        text = toasts(name)
        assert text.count("80 % of a budget is spent: Bob") == 1, name
        assert "$0.25 is held" in text
        assert "#alerts" in text
    assert "budget" not in toasts("vera")
