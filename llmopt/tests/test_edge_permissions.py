"""The rows of permissions.csv that are answered in front of Django."""

import asyncio
import csv
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.test import Client

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.core import readiness
from llmopt.edge import routes
from llmopt.edge.asgi_types import Application
from llmopt.edge.stack import build
from llmopt.tests.asgi_client import HOST, Stream, call

PREFIX = "edge:"
PEOPLE = {
    "anonymous": None,
    "owner": "alice",
    "admin": "adam",
    "editor": "bob",
    "viewer": "vera",
    "rater": "rita",
    "stranger": "charlie",
}


def table() -> list[dict[str, str]]:
    with (Path(django_settings.BASE_DIR) / "permissions.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["route"].startswith(PREFIX)]


def address(row: dict[str, str], team: Team) -> str:
    path = row["route"].removeprefix(PREFIX).replace("<team>", team.slug)
    return f"{path}?topic=experiment:{team.uid}" if routes.EVENTS.match(path) else path


async def status(app: Application, path: str, headers: list[tuple[bytes, bytes]], method: str = "GET") -> int:
    stream = Stream(app, path, headers=headers, method=method)
    async with asyncio.timeout(10):
        while stream.answer.status == 0:
            await asyncio.sleep(0.01)
    await stream.leave()
    return stream.answer.status


def cookies_of(person: User | None) -> list[tuple[bytes, bytes]]:
    if person is None:
        return []
    client = Client()
    client.force_login(person)
    return [(b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode())]


@pytest.mark.syntax
def test_events_and_static_files_are_in_the_table() -> None:
    listed = {row["route"].removeprefix(PREFIX) for row in table()}

    assert {"/healthz", "/readyz", "/metrics"} <= listed
    assert any(routes.EVENTS.match(path.replace("<team>", "some-team")) for path in listed)
    assert any(path.startswith(routes.STATIC_PREFIX) for path in listed)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("row", [row for row in table() if row["key"]], ids=lambda row: row["route"])
def test_a_key_opens_a_route_with_the_scope_of_its_row_alone(row: dict[str, str], team: Team, bob: User) -> None:
    def bearer(scope: str) -> list[tuple[bytes, bytes]]:
        text = api_key_create(actor=bob, team=team, name=scope, scopes=[scope]).text
        return [(b"authorization", f"Bearer {text}".encode())]

    right, wrong = bearer(row["key"]), bearer("read")

    async def both() -> tuple[int, int]:
        edge = build(get_asgi_application())
        path, method = address(row, team), row["method"]
        # One with an empty body gets as far as being told so.
        answers = [await call(edge, path, method=method, headers=[HOST, *headers]) for headers in (right, wrong)]
        return answers[0].status, answers[1].status

    opened, refused = asyncio.run(both())
    assert opened not in (401, 403)
    assert refused == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("row", table(), ids=lambda row: row["route"])
def test_every_cell_of_a_row_holds(
    row: dict[str, str], team: Team, people: dict[str, User], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBEDDED = True  # static files come straight from the source, with nothing collected
    # Whether queue and inference run on the testing machine is no question of permission.
    monkeypatch.setattr(readiness, "remembered", lambda _run: [])
    cookies = {column: cookies_of(people[name] if name else None) for column, name in PEOPLE.items()}

    async def all_statuses() -> dict[str, int]:
        edge = build(get_asgi_application())
        path, method = address(row, team), row["method"]
        found = {column: await status(edge, path, cookies[column], method) for column in PEOPLE}
        edge.stop_streams()
        return found

    assert asyncio.run(all_statuses()) == {column: int(row[column]) for column in PEOPLE}
