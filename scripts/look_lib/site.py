"""A server of its own with fictional teams in four states, so that photographs never touch anybody's data."""

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.core.processes.tree import end_child

ROOT = Path(__file__).resolve().parents[2]
STATES = ("empty", "running", "full", "failed")
# Parts of a page and files have no page of their own to photograph.
NOT_PAGES = ("api/", "admin", "edge:", "v1/")
DOWNLOADS = (".csv", ".json", ".jsonl", ".md", ".zip")


@dataclass(frozen=True)
class Site:
    """A running server and the environment its commands share."""

    base_url: str
    environment: dict[str, str]

    def command(self, *arguments: str) -> str:
        """Run a management command; its standard output."""
        result = subprocess.run(  # noqa: S603 - our own interpreter and commands
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        if result.returncode:
            sys.exit(f"manage.py {' '.join(arguments)} failed:\n{result.stderr[-4000:]}")
        return result.stdout

    def state(self, name: str) -> dict[str, Any]:
        """Make the fictional team of one state: `{"people": [{"login_url", "pages": [{"name", "url", …}]}]}`."""
        answer: dict[str, Any] = json.loads(
            self.command("look_data", "--state", name, "--base-url", self.base_url).strip().splitlines()[-1]
        )
        return answer


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Migrate a database in `folder`, serve it on a free port, stop the server at the end."""
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {"LLMOPT_VAR_DIR": str(folder), "LLMOPT_PORT": str(port), "LLMOPT_EMBEDDED": "1"}
    site = Site(f"http://127.0.0.1:{port}", environment)
    site.command("migrate", "--verbosity", "0")
    log = (folder / "web.log").open("w")
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and command
        [sys.executable, "manage.py", "web", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(f"{site.base_url}/styleguide/", process, folder / "web.log")
        yield site
    finally:
        end_child(process)
        log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    sys.exit(f"The server did not answer:\n{log.read_text()[-4000:]}")


def page_routes() -> list[str]:
    """Every route that answers somebody with a page, from the table that the permission tests keep complete."""
    with (ROOT / "permissions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pages = []
    for row in rows:
        answers = {value for name, value in row.items() if name not in ("route", "method")}
        is_page = not row["route"].startswith(NOT_PAGES) and not row["route"].endswith(DOWNLOADS)
        if row["method"] == "GET" and "200" in answers and is_page:
            pages.append(row["route"])
    return pages


def unlisted_routes(paths: set[str]) -> list[str]:
    """Routes with a page that none of the visited paths belongs to."""
    visited = {path.lstrip("/") for path in paths}
    return [route for route in page_routes() if not any(_pattern(route).fullmatch(path) for path in visited)]


def _pattern(route: str) -> re.Pattern[str]:
    parts = re.split(r"(<[^>]+>)", route)
    return re.compile("".join("[^/]+" if part.startswith("<") else re.escape(part) for part in parts))
