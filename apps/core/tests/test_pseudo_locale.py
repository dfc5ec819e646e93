"""Every page in a pseudo-language: a text that does not pass through gettext stands out."""

import csv
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import Client

from apps.accounts.models import Team, User
from apps.core.tests.pseudo import data_in_database, pseudo, untranslated
from apps.core.tests.routes import make_world
from apps.workspace.tests.look_world import FEW, STATES, make_look, pages_of

# Proper names, and symbols that stand for themselves in every language.
NAMES = frozenset(
    {"LLMOpt", "UTC", "CET", "CEST", "USD", "ms", "MB", "GB", "MiB", "SHA", "CSV", "TSV", "JSON", "JSONL", "UTF"}
)


def page_routes() -> list[str]:
    """Routes that answer the owner of a team with a page."""
    with (Path(django_settings.BASE_DIR) / "permissions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "GET" and row["owner"] == "200"]
    skipped = ("api/", "edge:", "styleguide/")
    # What is downloaded (report.json, problems.csv) is no page.
    pages = [row["route"] for row in rows if not row["route"] or row["route"].endswith("/")]
    return [route for route in pages if not route.startswith(skipped)]


def test_a_message_keeps_its_placeholders_and_shows_its_brackets() -> None:
    assert pseudo("Role of %(name)s") == "⟦Rólé óf %(name)s⟧"


def test_a_text_outside_gettext_is_found() -> None:
    assert untranslated("<p>⟦Sávé⟧ now</p>", data=[], names=frozenset()) == ["now"]
    assert untranslated('<a title="Save">⟦Sávé⟧</a>', data=[], names=frozenset()) == ["Save"]
    assert untranslated("<p>⟦Hélló⟧ Alice</p>", data=["Alice"], names=frozenset()) == []


@pytest.mark.parametrize("route", page_routes())
def test_a_page_speaks_only_through_gettext(
    route: str, client: Client, team: Team, alice: User, bob: User, pseudo_language: None
) -> None:
    world = make_world(team, alice, bob)
    client.force_login(alice)

    answer = client.get(world.address(route))

    assert answer.status_code == 200
    assert untranslated(answer.content.decode(), data=data_in_database(), names=NAMES) == []


@pytest.mark.django_db
@pytest.mark.parametrize("state", STATES)
def test_pages_speak_only_through_gettext_in_every_state(state: str, client: Client, pseudo_language: None) -> None:
    look = make_look(state, addresses=FEW)
    client.force_login(look.owner)
    data = data_in_database()

    found = {
        page["name"]: untranslated(client.get(page["url"]).content.decode(), data=data, names=NAMES)
        for page in pages_of(look)
    }

    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.django_db
def test_pages_for_strangers_and_errors_speak_only_through_gettext(client: Client, pseudo_language: None) -> None:
    for path in ("/sign-in/", "/sign-in/link/spent/", "/nowhere/"):
        assert untranslated(client.get(path).content.decode(), data=[], names=NAMES | {"make", "login"}) == []
