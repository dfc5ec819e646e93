"""What nobody asks for any more does not stay for ever."""

from datetime import timedelta
from typing import Any

import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from django_q.models import Task

from apps.accounts.models import SignInLink, User
from apps.accounts.services import people as accounts
from apps.accounts.services.people import sign_in_link_create
from apps.core import forget, housekeeping


def test_it_is_done_once_a_day() -> None:
    parts = {part.name: (part.dotted, part.every_seconds) for part in housekeeping._parts.values()}
    assert parts["old rows"] == ("apps.core.forget.forget_daily", 86_400)
    assert parts["sign-in links"] == ("apps.accounts.services.people.sign_in_links_forget", 86_400)


def test_sessions_and_failures_go_when_their_time_is_over(client: Client, alice: User) -> None:
    client.force_login(alice)
    now = timezone.now()
    for name, days in (("old", 31), ("new", 29)):
        Task.objects.create(
            id=name, name=name, func="f", started=now, stopped=now - timedelta(days=days), success=False
        )

    forget.forget_daily()
    assert Session.objects.count() == 1
    assert list(Task.objects.values_list("id", flat=True)) == ["new"]

    with time_machine.travel(now + timedelta(days=15)):
        forget.forget_daily()
    assert Session.objects.count() == 0


def test_sign_in_links_go_a_month_after_their_end(settings: Any, alice: User) -> None:
    settings.EMBEDDED = True
    sign_in_link_create(actor=None, user=alice)

    assert accounts.sign_in_links_forget() == 0
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert accounts.sign_in_links_forget() == 1
    assert SignInLink.objects.count() == 0


def test_signing_in_leaves_no_second_trail_beside_the_audit_trail(settings: Any, client: Client, alice: User) -> None:
    from axes.models import AccessLog

    settings.AXES_ENABLED = settings.EMBEDDED = True
    client.get(f"/sign-in/link/{sign_in_link_create(actor=None, user=alice)}/")

    assert client.session["_auth_user_id"] == str(alice.pk)
    assert AccessLog.objects.count() == 0
