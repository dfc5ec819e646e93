"""Changing the key that encrypts secrets: all rows, two processes at once, the rest of a run, a key that is lost."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from apps.accounts.models import Team
from apps.billing.tests.processes import start_process
from apps.core import health, sealed_rows
from apps.core.encryption import sealed_again
from apps.core.tests.factories import PROVIDER_SECRET, ProviderKeyFactory
from apps.providers.connections import connection_of
from apps.providers.models import ProviderKey
from apps.providers.services import provider_key_replace, provider_key_revoke

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def rows(team: Team, settings: Any) -> list[ProviderKey]:
    """Three secrets under the old key, and one row that keeps none; the new key is now the first of the list."""
    settings.ENCRYPTION_KEYS = [OLD]
    keys = ProviderKeyFactory.create_batch(4, team=team)
    provider_key_revoke(actor=None, key=keys.pop())
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    return keys


def rotated() -> str:
    said = StringIO()
    call_command("provider_keys_rotate", stdout=said)
    return said.getvalue()


@pytest.mark.django_db
def test_every_secret_is_encrypted_again_and_the_old_key_can_go(rows: list[ProviderKey], settings: Any) -> None:
    sealed_row = ProviderKey.objects.get(pk=rows[0].pk)
    ProviderKey.objects.filter(pk=sealed_row.pk).update(secret=sealed_again(sealed_row.secret))

    assert "2 encrypted again, 1 under the newest key already, 0 cannot" in rotated()
    assert "0 encrypted again, 3 under the newest key already, 0 cannot" in rotated()

    settings.ENCRYPTION_KEYS = [NEW]
    keys = ProviderKey.objects.exclude(state="revoked")
    assert [connection_of(key).api_key for key in keys] == [PROVIDER_SECRET] * 3


@pytest.mark.django_db
def test_a_lost_key_is_said_by_the_command_and_by_readiness(
    rows: list[ProviderKey], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_secrets_seen", float("-inf"))
    settings.ENCRYPTION_KEYS = [NEW]

    with pytest.raises(CommandError, match="back at the end of LLMOPT_ENCRYPTION_KEYS: providers.providerkey"):
        rotated()
    found = {check.name: check for check in health.readiness()}["secrets"]
    assert not found.ok
    assert found.detail.startswith("3 stored secrets cannot be decrypted: put the key")

    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert {check.name: check for check in health.readiness()}["secrets"].ok


@pytest.mark.django_db
def test_a_key_that_is_replaced_while_all_are_encrypted_again_stays_replaced(
    rows: list[ProviderKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sealed_again

    def slow(sealed: Any) -> Any:
        again = real(sealed)
        if sealed == rows[1].secret and again is not sealed:
            provider_key_replace(actor=None, key=ProviderKey.objects.get(pk=rows[1].pk), secret="sk-replaced-00000000")
        return again

    monkeypatch.setattr(sealed_rows, "sealed_again", slow)
    rotated()

    assert connection_of(ProviderKey.objects.get(pk=rows[1].pk)).api_key == "sk-replaced-00000000"
    assert connection_of(ProviderKey.objects.get(pk=rows[2].pk)).api_key == PROVIDER_SECRET


def _rotate_and_tell(path: Path) -> None:
    path.write_text(str(sealed_rows.rotate().encrypted_again))


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_two_processes_at_once_encrypt_each_row_again_and_lose_none(
    rows: list[ProviderKey], settings: Any, tmp_path: Path
) -> None:
    ProviderKeyFactory.create_batch(20, team=rows[0].team, secret=rows[0].secret)
    told = [tmp_path / "first", tmp_path / "second"]

    both = [start_process(_rotate_and_tell, path) for path in told]
    for process in both:
        process.join(60)

    assert [process.exitcode for process in both] == [0, 0]
    assert sum(int(path.read_text()) for path in told) == 23
    settings.ENCRYPTION_KEYS = [NEW]
    tokens = ProviderKey.objects.exclude(secret="").values_list("secret", flat=True)
    assert [sealed_again(sealed) is sealed for sealed in tokens] == [True] * 23
