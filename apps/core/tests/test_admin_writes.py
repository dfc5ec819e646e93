"""What an operator can change, and that each change goes through a service and leaves an event."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ, Schedule

from apps.accounts.models import Membership, Team, User
from apps.core.models import AuditEvent
from apps.core.tests.factories import PASSWORD, UserFactory

NEW = "a quite different sentence"
# Every page on which something can be written; all others only show.
WRITABLE = {
    "accounts.User": {"add", "change"},
    "accounts.Membership": {"add", "change", "delete"},
    "billing.Budget": {"change"},
}
ACTIONS = {
    "accounts.APIKey": {"revoke"},
    "accounts.Membership": {"delete_selected"},
    "billing.Reservation": {"sweep"},
    "evaluation.Evaluation": {"retry", "cancel"},
    "experiments.DatasetImport": {"retry", "cancel"},
    "experiments.Upload": {"retry", "cancel"},
    "training.Preflight": {"retry", "cancel"},
    "training.TrainingRun": {"retry", "cancel"},
    "workspace.ExperimentRun": {"retry", "cancel"},
}
LABELS = {model._meta.label: page for model, page in admin.site._registry.items()}


@pytest.fixture
def operator(db: None, client: Client) -> User:
    user = UserFactory.create(email="olga@example.com", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def request_of_an_operator(rf: Any, operator: User) -> Any:
    request = rf.get("/admin/")
    request.user = operator
    return request


@pytest.mark.parametrize("label", LABELS)
def test_nothing_is_writable_but_what_is_listed(request_of_an_operator: Any, label: str) -> None:
    page = LABELS[label]
    may = {
        kind for kind in ("add", "change", "delete") if getattr(page, f"has_{kind}_permission")(request_of_an_operator)
    }

    assert may == WRITABLE.get(label, set())
    assert set(page.get_actions(request_of_an_operator)) == ACTIONS.get(label, set())


def test_the_lists_name_only_what_is_there() -> None:
    assert WRITABLE.keys() | ACTIONS.keys() <= LABELS.keys()


def test_an_operator_cannot_have_a_function_run(client: Client, operator: User) -> None:
    url = reverse("admin:django_q_schedule_add")

    answer = client.post(url, {"func": "os.system", "args": "'id',", "cluster": "housekeeping"})

    assert answer.status_code == 403
    assert Schedule.objects.filter(func="os.system").count() == 0
    assert not admin.site.is_registered(OrmQ)


# --- passwords and signing in


def change_password(client: Client, user: User, **data: str) -> Any:
    return client.post(reverse("admin:auth_user_password_change", args=[user.pk]), data)


def test_a_password_that_an_operator_sets_leaves_an_event(client: Client, operator: User, alice: User) -> None:
    answer = change_password(client, alice, password1=NEW, password2=NEW, usable_password="true")

    assert answer.status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(NEW)
    event = AuditEvent.objects.get(verb="user.password_changed")
    assert (event.actor, event.object_uid, event.facts) == (operator, alice.uid, {"usable": True})
    assert NEW not in str(AuditEvent.objects.values())


def test_a_password_that_an_operator_takes_away_leaves_an_event(client: Client, operator: User, alice: User) -> None:
    change_password(client, alice, usable_password="false", **{"unset-password": "1"})

    alice.refresh_from_db()
    assert not alice.has_usable_password()
    assert AuditEvent.objects.get(verb="user.password_changed").facts == {"usable": False}


def test_ones_own_password_is_changed_on_the_account_page(client: Client, operator: User) -> None:
    data = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}

    assert client.post(reverse("admin:password_change"), data).status_code == 405
    assert client.get(reverse("admin:password_change")).headers["Location"] == reverse("account")
    operator.refresh_from_db()
    assert operator.check_password(PASSWORD)


def test_operators_sign_in_where_everybody_does_and_come_back_with_an_event(client: Client, db: None) -> None:
    operator = UserFactory.create(email="olga@example.com", is_staff=True, is_superuser=True)
    asked = client.get("/admin/core/auditevent/", follow=True)
    assert asked.redirect_chain[-1][0] == "/sign-in/?next=/admin/core/auditevent/"

    data = {"email": operator.email, "password": PASSWORD, "next": "/admin/core/auditevent/"}
    answer = client.post(reverse("sign_in"), data, follow=True)

    assert answer.redirect_chain == [("/admin/core/auditevent/", 302)]
    assert answer.status_code == 200
    assert AuditEvent.objects.get(verb="user.signed_in").actor == operator


def test_the_admins_own_form_signs_nobody_in(client: Client, db: None) -> None:
    operator = UserFactory.create(email="olga@example.com", is_staff=True, is_superuser=True)

    assert client.post("/admin/login/", {"username": operator.email, "password": PASSWORD}).status_code == 405
    assert "_auth_user_id" not in client.session


def test_somebody_else_is_told_that_these_pages_are_not_for_them(client: Client, alice: User) -> None:
    client.force_login(alice)

    answer = client.get("/admin/", follow=True)

    assert answer.status_code == 403
    assert "for operators" in answer.content.decode()


# --- refusals


def refused(answer: Any) -> str:
    """The page of a refusal; nothing of what the admin had begun is left, its own log included."""
    assert answer.status_code == 409
    assert [str(message) for message in get_messages(answer.wsgi_request)] == []
    assert LogEntry.objects.count() == 0
    assert AuditEvent.objects.count() == 0
    return str(answer.content.decode())


def test_a_refused_change_is_not_shown_as_done(client: Client, operator: User, team: Team, alice: User) -> None:
    own = Membership.objects.get(user=alice)

    page = refused(client.post(reverse("admin:accounts_membership_change", args=[own.pk]), {"role": "viewer"}))

    assert "last owner" in page
    assert Membership.objects.get(pk=own.pk).role == "owner"


def test_a_refused_removal_is_not_shown_as_done(client: Client, operator: User, team: Team, alice: User) -> None:
    own = Membership.objects.get(user=alice)

    page = refused(client.post(reverse("admin:accounts_membership_delete", args=[own.pk]), {"post": "yes"}))

    assert "last owner" in page
    assert Membership.objects.filter(pk=own.pk).exists()


def test_of_several_removals_one_that_is_refused_undoes_all(
    client: Client, operator: User, team: Team, alice: User, bob: User
) -> None:
    chosen = list(Membership.objects.filter(team=team).values_list("pk", flat=True))
    data = {"action": "delete_selected", "_selected_action": chosen, "post": "yes", "index": "0"}

    refused(client.post(reverse("admin:accounts_membership_changelist"), data))

    assert Membership.objects.filter(team=team).count() == 2


def test_a_removal_that_is_not_refused_is_done_and_leaves_an_event(
    client: Client, operator: User, team: Team, alice: User, bob: User
) -> None:
    chosen = [Membership.objects.get(user=bob).pk]
    data = {"action": "delete_selected", "_selected_action": chosen, "post": "yes", "index": "0"}

    assert client.post(reverse("admin:accounts_membership_changelist"), data).status_code == 302

    assert not Membership.objects.filter(user=bob).exists()
    assert AuditEvent.objects.get().verb == "membership.removed"
