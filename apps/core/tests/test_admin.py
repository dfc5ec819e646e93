"""The operators' pages: every model is there, versions cannot be changed, jobs are told through the services."""

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib import admin
from django.core.management import call_command
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Membership, Team, User
from apps.accounts.services.people import sign_in_link_create
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests.factories import (
    PASSWORD,
    EvaluationFactory,
    ModelVersionFactory,
    QuickstartFactory,
    ScoreFactory,
    UserFactory,
)

OWN = [model for model in apps.get_models() if model.__module__.startswith("apps.")]
# Rows that no operator edits by hand: everything but people and memberships, and prices and budgets (apps/billing).
WRITTEN_BY_SERVICES = [model for model in OWN if model not in {User, Membership} and model._meta.app_label != "billing"]


@pytest.fixture
def operator(db: None, client: Client) -> User:
    user = UserFactory.create(email="olga@example.com", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


@pytest.mark.parametrize("model", OWN, ids=lambda model: model._meta.label)
def test_every_model_is_registered(model: type[Model]) -> None:
    assert admin.site.is_registered(model)


@pytest.mark.parametrize("model", OWN, ids=lambda model: model._meta.label)
def test_a_list_opens_and_searches(client: Client, operator: User, model: type[Model]) -> None:
    ScoreFactory.create()
    ModelVersionFactory.create()
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")

    assert client.get(url).status_code == 200
    assert client.get(url, {"q": "a"}).status_code == 200


@pytest.mark.parametrize("model", WRITTEN_BY_SERVICES, ids=lambda model: model._meta.label)
def test_a_row_that_services_write_cannot_be_changed_or_deleted(rf: Any, operator: User, model: type[Model]) -> None:
    page = admin.site._registry[model]
    request = rf.get("/admin/")
    request.user = operator

    assert not page.has_change_permission(request)
    assert not page.has_delete_permission(request)
    assert not page.has_add_permission(request)


def test_a_row_opens(client: Client, operator: User) -> None:
    score = ScoreFactory.create()
    rows = [
        score,
        score.output,
        score.output.evaluation,
        score.output.evaluation.experiment,
        ModelVersionFactory.create(),
    ]
    for row in rows:
        url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
        assert client.get(url).status_code == 200, url


def _press(client: Client, row: Any, action: str) -> Any:
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
    return client.post(url, {"action": action, "_selected_action": [row.pk], "index": "0"}, follow=True)


def test_a_failed_job_is_queued_again_with_an_event(client: Client, operator: User) -> None:
    job = EvaluationFactory.create(status=JobStatus.FAILED, error="out of memory")

    _press(client, job, "retry")

    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert AuditEvent.objects.get(verb="evaluation.resumed").actor == operator


def test_a_waiting_job_is_cancelled_and_an_ended_one_says_why_not(client: Client, operator: User) -> None:
    waiting = QuickstartFactory.create(status=JobStatus.QUEUED)
    ended = QuickstartFactory.create(status=JobStatus.SUCCEEDED)

    _press(client, waiting, "cancel")
    answer = _press(client, ended, "cancel")

    waiting.refresh_from_db()
    ended.refresh_from_db()
    assert waiting.status == JobStatus.CANCELLED
    assert ended.status == JobStatus.SUCCEEDED
    assert "already ended" in answer.content.decode()


def test_a_person_is_made_without_a_password_and_with_an_event(client: Client, operator: User) -> None:
    answer = client.post(reverse("admin:accounts_user_add"), {"email": "New@Example.com", "name": "New"})

    assert answer.status_code == 302
    made = User.objects.get(email="new@example.com")
    assert not made.has_usable_password()
    assert AuditEvent.objects.filter(verb="user.created", object_uid=made.uid).count() == 1


def test_the_last_owner_stays_when_an_operator_tries_to_demote_them(
    client: Client, operator: User, team: Team, alice: User
) -> None:
    own = Membership.objects.get(user=alice)

    answer = client.post(reverse("admin:accounts_membership_change", args=[own.pk]), {"role": "viewer"}, follow=True)

    own.refresh_from_db()
    assert own.role == "owner"
    assert "last owner" in answer.content.decode()


def test_the_hash_of_a_sign_in_link_is_not_shown(settings: Any, client: Client, operator: User, alice: User) -> None:
    settings.EMBEDDED = True
    sign_in_link_create(actor=None, user=alice)
    link = alice.sign_in_links.get()

    page = client.get(reverse("admin:accounts_signinlink_change", args=[link.pk])).content.decode()

    assert link.token_hash not in page


def test_the_admin_has_a_policy_of_its_own_and_the_pages_keep_the_strict_one(client: Client, operator: User) -> None:
    """The theme needs inline styles, which a nonce in the same directive would switch off again (docs/security.md)."""
    admin_policy = _directives(client.get("/admin/"))
    page_policy = _directives(client.get("/account/"))

    assert "'unsafe-inline'" in admin_policy["style-src"]
    assert "nonce-" not in admin_policy["style-src"]
    assert "'unsafe-inline'" not in admin_policy["script-src"]
    assert "unsafe" not in " ".join(page_policy.values())


def _directives(answer: Any) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: values for name, _, values in parts}


def test_an_operator_is_made_by_the_command_that_the_documentation_names(
    client: Client, monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    documented = (Path(django_settings.BASE_DIR) / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "`manage.py createsuperuser`" in documented
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", interactive=False, email="op@example.com", verbosity=0)

    client.post(reverse("sign_in"), {"email": "op@example.com", "password": PASSWORD})
    assert client.get("/admin/").status_code == 200
