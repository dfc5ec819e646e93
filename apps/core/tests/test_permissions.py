"""permissions.csv says who may do what at every route; every cell is tried."""

import csv
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client

from apps.accounts.models import Team, User
from apps.billing.calls import MeteredResult
from apps.core.access import require
from apps.core.tests import routes
from apps.core.tests.factories import ENVIRONMENT_SECRET, PLANTED, SENT_SECRET, UserFactory
from apps.core.tests.routes import World, admin_routes, make_world, pattern_to_sample, status_of

FILE = Path(django_settings.BASE_DIR) / "permissions.csv"
# Column → fixture of conftest.py; None is somebody who is not signed in.
PEOPLE = {
    "anonymous": None,
    "owner": "alice",
    "admin": "adam",
    "editor": "bob",
    "viewer": "vera",
    "rater": "rita",
    "stranger": "charlie",
}
# What a POST has to carry to be more than a malformed request.
DATA: dict[str, dict[str, str]] = {
    "account/": {"name": "New name"},
    "account/password/": {"current": "x", "new": "short"},
    "sign-in/": {"email": "nobody@example.com", "password": "wrong"},
    "t/<slug:team>/prompts/new/": {"do": "save", "name": "Another", "role": "user", "content": "{{ input }}"},
    "t/<slug:team>/prompts/<uuid:uid>/edit/": {"do": "save", "role": "user", "content": "Again: {{ input }}"},
    "t/<slug:team>/prompts/<uuid:uid>/labels/": {"name": "staging", "version": "1"},
    "t/<slug:team>/prompts/<uuid:uid>/labels/remove/": {"name": "production"},
    "t/<slug:team>/prompts/<uuid:uid>/settings/": {"name": "Renamed", "description": ""},
    "t/<slug:team>/settings/members/": {"email": "new@example.com", "role": "viewer"},
    "t/<slug:team>/settings/providers/": {"provider": "openai", "secret": SENT_SECRET},
    "t/<slug:team>/settings/providers/<uuid:uid>/replace/": {"secret": SENT_SECRET},
    "t/<slug:team>/settings/providers/text/": {"allowed": "no"},
    "t/<slug:team>/settings/members/<uuid:uid>/role/": {"role": "viewer"},
}
# Served in front of Django; llmopt/edge/tests tries their cells.
EDGE_PREFIX = "edge:"


def table() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = [row for row in table() if not row["route"].startswith(EDGE_PREFIX) and row["route"] != "admin/**"]


@pytest.mark.syntax
def test_every_route_is_in_the_table_and_the_table_names_no_other() -> None:
    listed = {row["route"] for row in ROWS}

    assert listed == set(routes.routes())


@pytest.mark.syntax
def test_no_row_occurs_twice() -> None:
    keys = [(row["route"], row["method"]) for row in table()]

    assert len(keys) == len(set(keys))


def _asks_nobody(*, actor: Any, key: Any) -> MeteredResult:
    require(key, actor, "edit")
    return MeteredResult()


@pytest.fixture
def world(team: Team, alice: User, bob: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    settings.EMBEDDED = True  # sign-in links exist only there
    settings.PROVIDER_API_KEYS = {"openai": ENVIRONMENT_SECRET, "anthropic": ""}
    # Whether queue and inference run on the testing machine is no question of permission.
    monkeypatch.setattr("apps.core.readiness.remembered", lambda _run: [])
    # Nor is what a provider would answer, which no test may ask.
    monkeypatch.setattr("apps.billing.views.key_tests.provider_key_test", _asks_nobody)
    return make_world(team, alice, bob)


def test_every_cell_of_every_row_holds(world: World, people: dict[str, User], caplog: pytest.LogCaptureFixture) -> None:
    """One world for all of them: it takes longer to make than all its cells take to try.

    Neither an answer (routes.status_of) nor the log of one holds a provider key that was planted or sent.
    """
    assert len(ROWS) > 100
    wrong = []
    for row in ROWS:
        path = world.address(row["route"])
        data = DATA.get(row["route"], {}) if row["method"] == "POST" else None
        for column, name in PEOPLE.items():
            found = _status(row["method"], path, data, people.get(name) if name else None)
            if found != int(row[column]):
                wrong.append(f"{row['method']} {row['route']}: {column} got {found}, not {row[column]}")

    assert wrong == []
    assert [secret for secret in PLANTED if secret in caplog.text] == []


def _status(method: str, path: str, data: dict[str, Any] | None, person: User | None) -> int:
    """The status for `person`, with what the request changed undone."""
    with transaction.atomic():
        client = Client(raise_request_exception=False)
        if person is not None:
            client.force_login(person)
        status = status_of(client, method, path, data)
        transaction.set_rollback(True)
    return status


def test_admin_is_for_operators_alone(people: dict[str, User]) -> None:
    row = next(row for row in table() if row["route"] == "admin/**")
    inside = [
        pattern_to_sample(route) for route in admin_routes() if not route.startswith(("admin/login", "admin/logout"))
    ]

    for column, name in PEOPLE.items():
        client = Client()
        if name is not None:
            client.force_login(people[name])
        refused = {path: client.get(path).status_code for path in inside if path != "/admin/jsi18n/"}
        assert set(refused.values()) == {int(row[column])}, column


def test_an_operator_sees_the_admin_and_still_no_team_that_they_are_not_in(team: Team) -> None:
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))

    assert client.get("/admin/").status_code == 200
    assert client.get(f"/t/{team.slug}/").status_code == 404
