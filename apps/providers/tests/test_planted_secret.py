"""A planted key is nowhere to be found: not in the admin, the database, a dump, an error, a log or an export.

Every page and every answer of the REST API is looked through, for each role, where its permissions are tried
(apps/core/tests/test_permissions.py).
"""

import io
import logging
import pickle
import sys
import traceback
from typing import Any

import pytest
from django.apps import apps
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import SafeExceptionReporterFilter

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError
from apps.core.models import AuditEvent, IdempotentAnswer
from apps.core.tests.factories import (
    ENVIRONMENT_SECRET,
    PLANTED,
    PROVIDER_SECRET,
    SENT_SECRET,
    CommercialModelFactory,
    UserFactory,
)
from apps.providers.connections import connection_of
from apps.providers.models import ProviderKey
from apps.providers.services import provider_key_create, provider_key_from_environment, provider_key_replace

pytestmark = pytest.mark.django_db


def found_in(text: Any) -> list[str]:
    whole = text if isinstance(text, bytes) else str(text).encode()
    return [secret for secret in PLANTED if secret.encode() in whole]


@pytest.fixture
def keys(team: Team, alice: User, settings: Any) -> list[ProviderKey]:
    """One that was planted with a model, one taken up from the environment, one that was sent."""
    settings.PROVIDER_API_KEYS = {"openai": ENVIRONMENT_SECRET, "anthropic": ""}
    return [
        CommercialModelFactory.create(team=team).provider_key,
        provider_key_from_environment(actor=alice, team=team, provider="openai"),
        provider_key_create(actor=alice, team=team, provider="openai", secret=SENT_SECRET),
    ]


def test_the_admin_shows_no_key_and_finds_none(client: Client, keys: list[ProviderKey]) -> None:
    client.force_login(UserFactory.create(email="olga@example.com", is_staff=True, is_superuser=True))
    listed = reverse("admin:providers_providerkey_changelist")

    shown = [client.get(listed), *(client.get(f"{listed}{key.pk}/change/") for key in keys)]
    searched = client.get(listed, {"q": SENT_SECRET})

    assert [answer.status_code for answer in shown] == [200] * 4
    assert [found_in(answer.content) for answer in shown] == [[]] * 4
    assert "wxyz" in shown[1].content.decode()
    assert keys[0].secret.token not in shown[1].content.decode()
    assert f"/{keys[2].pk}/change/" in shown[0].content.decode()
    assert f"/{keys[2].pk}/change/" not in searched.content.decode()


def test_no_column_of_any_table_holds_a_key(keys: list[ProviderKey]) -> None:
    held = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            held[table] = found_in([[bytes(v) if isinstance(v, memoryview) else v for v in row] for row in cursor])

    assert {table: found for table, found in held.items() if found} == {}


def test_a_dump_of_rows_holds_neither_a_key_nor_what_it_was_encrypted_to(keys: list[ProviderKey]) -> None:
    rows = [row for model in apps.get_app_config("providers").get_models() for row in model._default_manager.all()]

    dumped = serializers.serialize("json", rows)
    said = io.StringIO()
    call_command("dumpdata", "providers", stdout=said)

    for text in (dumped, said.getvalue(), repr(rows), repr([vars(row) for row in rows])):
        assert found_in(text) == []
        assert keys[0].secret.token not in text


def test_errors_their_tracebacks_and_what_they_carry_hold_no_key(
    team: Team, alice: User, keys: list[ProviderKey], settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = ["b3RoZXIta2V5LXRoYXQtZW5jcnlwdHMtbm90aGluZyE="]
    ways = (
        lambda: connection_of(keys[0]),
        lambda: provider_key_create(actor=alice, team=team, provider="anthropic", secret=PROVIDER_SECRET),
        lambda: provider_key_create(actor=alice, team=team, provider="openai", secret=f"{SENT_SECRET} and more"),
        lambda: provider_key_replace(actor=alice, key=keys[1], secret=SENT_SECRET),
    )
    for way in ways:
        with pytest.raises(ApplicationError) as refused:
            way()
        error = refused.value
        assert found_in("".join(traceback.format_exception(error))) == []
        assert found_in(f"{error!r} {vars(error)} {error.__cause__!r}") == []

    # What a page for developers would show of the settings, were it ever switched on.
    assert found_in(SafeExceptionReporterFilter().get_safe_settings()) == []


def test_an_open_connection_prints_no_key(keys: list[ProviderKey]) -> None:
    opened = [connection_of(key) for key in keys]

    assert [connection.api_key for connection in opened] == list(PLANTED)
    assert found_in(f"{opened} {opened[0]!s}") == []
    assert found_in(pickle.dumps(keys)) == []


def test_logs_events_and_kept_answers_of_a_key_that_is_sent_hold_nothing_of_it(
    client: Client, team: Team, alice: User, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    client.force_login(alice)
    path = "/api/v1/provider-keys"

    with caplog.at_level(logging.DEBUG):
        made = client.post(
            path,
            {"provider": "openai", "secret": SENT_SECRET},
            content_type="application/json",
            headers={"Idempotency-Key": "once"},
        )
        wrong = client.post(path, {"provider": "none", "secret": SENT_SECRET}, content_type="application/json")
        broken = client.post(path, f'{{"secret": "{SENT_SECRET}"', content_type="application/json")
        too_long = client.post(
            path, {"provider": "openai", "secret": SENT_SECRET * 99}, content_type="application/json"
        )

    assert [answer.status_code for answer in (made, wrong, broken, too_long)] == [201, 400, 400, 400]
    assert found_in(b"".join(answer.content for answer in (made, wrong, broken, too_long))) == []
    sys.stderr.flush()
    assert found_in(f"{caplog.text}{capfd.readouterr()}") == []
    assert found_in(list(AuditEvent.objects.values())) == []
    (kept,) = IdempotentAnswer.objects.values()
    assert found_in(kept) == []


def test_commands_name_rows_and_no_keys(keys: list[ProviderKey], settings: Any) -> None:
    said = io.StringIO()

    call_command("provider_keys_rotate", stdout=said, stderr=said)

    assert "2 under the newest key already" in said.getvalue()
    assert found_in(said.getvalue()) == []
