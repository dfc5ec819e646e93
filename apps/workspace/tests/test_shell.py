"""The frame of a page costs what it shows, and a part of a page does not pay for it."""

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Team, User
from apps.core.tests.factories import EvaluationFactory


def statements(client: Client, url: str, headers: dict[str, str] | None = None) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url, headers=headers).status_code == 200
    return [query["sql"] for query in queries if "billing_ledgerentry" in query["sql"]]


def test_a_page_adds_up_the_teams_entries_once_and_a_part_of_it_not_at_all(
    client: Client, team: Team, alice: User
) -> None:
    EvaluationFactory.create(candidate__experiment__team=team)
    client.force_login(alice)
    url = f"/t/{team.slug}/jobs/"

    (entries,) = statements(client, url)
    assert "billing_reservation" not in entries
    assert statements(client, f"{url}?part=rows", {"HX-Request": "true"}) == []
