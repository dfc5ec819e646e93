"""A real server on the test database, a real Chromium in front of it, and a witness of everything that goes wrong."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection, connections
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

from apps.core.processes.tree import end_child
from apps.core.tests.installation import ROOT, free_port, wait_for
from scripts.setup_lib.chromium import MISSING, find_chromium

T = TypeVar("T")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# What one action may take on a busy machine.
PATIENCE_MS = 20_000
WATCH = """
document.addEventListener("securitypolicyviolation", (event) => {
  window.witness(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


def chromium() -> str:
    """The browser's path. A missing one fails the test: a skipped browser proves nothing."""
    found = find_chromium()
    if not found:
        pytest.fail(MISSING)
    return found


def beside(work: Callable[[], T]) -> T:
    """Database work while a browser is open.

    Playwright's loop runs in the test's own thread, where Django therefore refuses to touch the database.
    """

    def run() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


@dataclass(frozen=True)
class Server:
    """The product over HTTP, on the database of this test run."""

    url: str
    artifacts: Path


@pytest.fixture(scope="module")
def web_process(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for a module; its database is emptied between tests, and it must not notice."""
    folder, port = tmp_path_factory.mktemp("web"), free_port()
    server = Server(f"http://127.0.0.1:{port}", folder / "artifacts")
    log = folder / "web.log"
    with log.open("w", encoding="utf-8") as written:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "web", "--port", str(port)],
            cwd=ROOT, env=_environment(folder), stdout=written, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_for(lambda: process.poll() is not None or _answers(server.url), seconds=60, what="the server")
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield server
        finally:
            end_child(process)


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "llmopt.settings.test",
        "DATABASE_URL": _database_url(),
        "LLMOPT_VAR_DIR": str(folder),
        "LLMOPT_ROLE": "web",
        "LLMOPT_EMBEDDED": "1",
    }


def _database_url() -> str:
    name = str(connection.settings_dict["NAME"])
    given = os.environ.get("DATABASE_URL", "")
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    parts = urlsplit(given)
    return urlunsplit(parts._replace(path="/" + quote(name)))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@pytest.fixture
def server(web_process: Server, transactional_db: None, request: pytest.FixtureRequest) -> Server:
    """The server, with this process storing artefacts where the server reads them."""
    changed = request.getfixturevalue("settings")
    artifacts = {**settings.STORAGES["artifacts"], "OPTIONS": {"location": web_process.artifacts}}
    changed.STORAGES = {**settings.STORAGES, "artifacts": artifacts}
    changed.EMBEDDED = True
    return web_process


@dataclass
class Visit:
    """One person's browser window. `problems` is everything a person's console would have shown."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)
    # Part of an address → a status that the test brings about itself.
    expected: dict[str, int] = field(default_factory=dict)

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    def path(self) -> str:
        return urlsplit(self.page.url).path

    def sign_in(self, user: Any) -> None:
        """Start signed in, for tests that are about something else."""
        key = beside(lambda: _session_of(user))
        self.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": key, "url": self.base}])

    def follow(self, path: str, *, within: str = "#main") -> None:
        """Click the first visible link to `path`, and arrive there with text in the page."""
        self.page.locator(f'{within} a[href="{path}"]:visible').first.click()
        self.page.wait_for_url(lambda url: url == self.base + path)
        assert self.page.locator("h1").inner_text().strip()

    def settle(self) -> None:
        """Until every part that loads by itself is there and every chart is drawn."""
        self.page.wait_for_function(
            "() => !document.querySelector('[data-panel] .skeleton, [data-chart]:not([data-drawn])')"
        )
        text = self.page.locator("#main").inner_text()
        for trace in ("<c-", "{%", "NaN"):
            assert trace not in text, f"{self.path()} shows {trace}"


def _session_of(user: Any) -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


@pytest.fixture
def visits(server: Server) -> Iterator[Callable[..., Visit]]:
    """`visits()` opens a window of its own profile; options are Playwright's. Ask for it after all other data."""
    executable = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield lambda **options: _visit(browser.new_context(**options), server.url)
        finally:
            browser.close()


def _visit(context: BrowserContext, base: str) -> Visit:
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(WATCH)
    visit = Visit(context.new_page(), base)
    visit.page.expose_function("witness", lambda text: visit.problems.append(text))

    def on_console(message: ConsoleMessage) -> None:
        # The browser repeats a failed answer here; the answer itself is judged below.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            visit.problems.append(f"console {message.type}: {message.text}")

    def on_response(response: Response) -> None:
        expected = next((code for part, code in visit.expected.items() if part in response.url), None)
        if response.status >= 400 and response.status != expected:
            visit.problems.append(f"{response.status} for {response.request.method} {response.url}")

    def on_failure(request: Request) -> None:
        # A stream or a part that is cut off because its reader goes elsewhere is no failure.
        if request.failure != "net::ERR_ABORTED":
            visit.problems.append(f"failed: {request.url} ({request.failure})")

    visit.page.on("console", on_console)
    visit.page.on("pageerror", lambda error: visit.problems.append(f"script: {error}"))
    visit.page.on("response", on_response)
    visit.page.on("requestfailed", on_failure)
    return visit


@contextmanager
def clean(visit: Visit) -> Iterator[Visit]:
    """At the end nothing went wrong in the browser."""
    yield visit
    assert visit.problems == []
