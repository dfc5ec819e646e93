"""What is started for a training or an import finds no key of a provider around it, and no engine any secret."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team
from apps.core.tests.factories import LanguageModelFactory, PreflightFactory, TrainingRunFactory, UserFactory
from apps.core.tests.installation import wait_for
from apps.providers import launch as import_launch
from apps.providers.models import ModelFetch
from apps.training import host, launch, preflight_host

pytestmark = pytest.mark.django_db
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LLMOPT_ENCRYPTION_KEYS")
SECRETS = (*KEYS, "LLMOPT_SECRET_KEY", "DATABASE_URL", "HF_TOKEN")
PLANTED = "planted-0123456789"


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    # Stands in for Python: what is started stays until it has been looked at, and does nothing.
    waiting = tmp_path / "python"
    waiting.write_text("#!/bin/sh\nexec sleep 60\n")
    waiting.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(waiting))
    for name in SECRETS:
        monkeypatch.setenv(name, PLANTED)


def names_around(start: Callable[[], int]) -> tuple[set[str], str]:
    """Which of the planted names a process has, and its role, as the kernel gave them to it; it is ended at once."""
    pid = start()
    try:
        around = Path(f"/proc/{pid}/environ")
        # Between closing the pipe to its parent and setting up its memory, a new program has none.
        wait_for(lambda: b"PATH=" in around.read_bytes(), seconds=10, what="the process to be there")
        lines = around.read_bytes().decode().split("\0")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    found = dict(line.split("=", 1) for line in lines if line)
    return {name for name, value in found.items() if PLANTED in value}, found["LLMOPT_ROLE"]


def test_hosts_keep_their_database_and_lose_every_key(team: Team) -> None:
    run, preflight = TrainingRunFactory.create(team=team), PreflightFactory.create(team=team)
    fetch = ModelFetch.objects.create(
        team=team, language_model=LanguageModelFactory.create(team=team), source="folder", location="/nowhere",
        created_by=UserFactory.create(),
    )  # fmt: skip

    around = [
        names_around(lambda: launch.host_start(run)),
        names_around(lambda: launch.preflight_start(preflight)),
        names_around(lambda: import_launch.host_start(fetch)),
    ]

    assert [role for _names, role in around] == ["host", "host", "fetch"]
    assert [names for names, _role in around] == [set(SECRETS) - set(KEYS)] * 3


def test_engines_get_no_secret_at_all(team: Team, tmp_path: Path) -> None:
    hosting = host.Host(run=TrainingRunFactory.create(team=team), folder=tmp_path)
    started: list[subprocess.Popen[bytes]] = []

    def pid_of(engine: "subprocess.Popen[bytes]") -> int:
        started.append(engine)
        return engine.pid

    assert names_around(lambda: pid_of(host._start_engine(hosting)))[0] == set()
    assert names_around(lambda: pid_of(preflight_host._start(tmp_path, 1)))[0] == set()
    assert len(started) == 2
