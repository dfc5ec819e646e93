"""`make login` where nothing runs."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.accounts.models import User


def test_the_command_says_that_nothing_runs(
    alice: User, tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.EMBEDDED = True
    settings.VAR_DIR = tmp_path

    call_command("login_link")
    said = capsys.readouterr()
    call_command("login_link", "--port", "8123")

    assert "/sign-in/link/" in said.out
    assert "LLMOpt does not run here" in said.err
    assert capsys.readouterr().err == ""
