"""A receiver of webhooks over a real socket, and an alert to send to it."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from apps.accounts.models import Team
from apps.billing.models import Alert, BudgetPeriod
from apps.core.tests.factories import BudgetFactory


@dataclass
class Receiver:
    """`statuses` are answered in turn, the last one for ever."""

    statuses: list[int] = field(default_factory=lambda: [204])
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/hooks/money") -> str:
        return f"http://{self.place}{path}"

    def next_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status = found.next_status()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", found.url("/elsewhere"))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def raised(team: Team, *, level: int = 80, **budget: Any) -> Alert:
    """80 % of five dollars is spent."""
    made = BudgetFactory.create(team=team, **{"period": "monthly", **budget})
    period = BudgetPeriod.objects.create(budget=made, key="2026-11", limit_nanousd=made.limit_nanousd)
    found: Alert = Alert.objects.create(
        team=team,
        kind="spent",
        level=level,
        budget_period=period,
        limit_nanousd=made.limit_nanousd,
        spent_nanousd=4_000_000_000,
        held_nanousd=250_000_000,
    )
    return found
