"""Secrets at rest: what a row shows, which keys read it, and which row it belongs to."""

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks

from apps.core import encryption
from apps.core.encryption import CannotDecrypt, Sealed, SealedField, seal
from llmopt.settings.secret import persistent_encryption_keys

TEXT = "sk-planted-9f2c71"


def test_what_is_sealed_opens_for_its_row_alone() -> None:
    sealed = seal(TEXT, context="provider_key:1")

    assert sealed.open(context="provider_key:1") == TEXT
    with pytest.raises(CannotDecrypt, match="paste the secret once more"):
        sealed.open(context="provider_key:2")


def test_nothing_that_prints_a_sealed_secret_shows_it_or_its_token() -> None:
    sealed = seal(TEXT, context="a")

    shown = f"{sealed} {sealed!r} {[sealed]} {vars(Sealed())}"
    assert TEXT not in shown
    assert sealed.token not in shown
    assert (str(sealed), str(Sealed())) == ("(encrypted)", "")


def test_a_column_of_secrets_refuses_a_plain_text() -> None:
    column = SealedField()
    column.name = "secret"

    with pytest.raises(TypeError, match="secret holds a Sealed"):
        column.get_prep_value(TEXT)
    assert column.get_prep_value(seal(TEXT, context="a")).startswith("gAAAA")


def test_the_newest_key_encrypts_and_every_key_decrypts(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    sealed = seal(TEXT, context="a")

    settings.ENCRYPTION_KEYS = [new, old]
    again = encryption.sealed_again(sealed)

    assert sealed.open(context="a") == again.open(context="a") == TEXT
    assert encryption.sealed_again(again) is again
    settings.ENCRYPTION_KEYS = [new]
    assert again.open(context="a") == TEXT
    assert not encryption.is_readable(sealed)
    for refused in (lambda: sealed.open(context="a"), lambda: encryption.sealed_again(sealed)):
        with pytest.raises(CannotDecrypt, match="puts that key back at the end of the list"):
            refused()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "LLMOPT_ENCRYPTION_KEYS is empty"),
        ([Fernet.generate_key().decode(), "short"], "Key 2 of LLMOPT_ENCRYPTION"),
    ],
)
def test_a_start_without_a_usable_list_of_keys_says_what_is_wrong(settings: Any, keys: list[str], said: str) -> None:
    settings.ENCRYPTION_KEYS = keys

    found = [problem for problem in run_checks() if problem.id and problem.id.startswith("core.E")]

    assert [said in problem.msg for problem in found] == [True]
    assert "Fernet.generate_key()" in str(found[0].hint)


def test_two_first_starts_at_once_agree_on_one_key_that_nobody_else_reads(tmp_path: Path) -> None:
    both = threading.Barrier(4)

    def start() -> list[str]:
        both.wait(10)
        return persistent_encryption_keys(tmp_path / "var")

    with ThreadPoolExecutor(4) as threads:
        found = [task.result() for task in [threads.submit(start) for _ in range(4)]]

    assert found == [found[0]] * 4
    assert [Fernet(key) for key in found[0]]
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["encryption_keys"]
    assert stat.S_IMODE((tmp_path / "var" / "encryption_keys").stat().st_mode) == 0o600
