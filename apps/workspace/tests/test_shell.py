"""The frame of a page costs what it shows, and a part of a page does not pay for it."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Team, User
from apps.core.tests.factories import DatasetImportFactory, EvaluationFactory, UploadFactory


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


@pytest.mark.django_db
def test_a_sent_file_and_its_import_belong_to_datasets(client: Client, team: Team, alice: User) -> None:
    upload = UploadFactory.create(team=team, created_by=alice)
    made = DatasetImportFactory.create(upload=upload)
    client.force_login(alice)

    for path in ("datasets/", "datasets/new/", f"uploads/{upload.uid}/", f"imports/{made.uid}/"):
        page = client.get(f"/t/{team.slug}/{path}").content.decode()
        current = re.findall(r'href="([^"]+)" aria-current="page"', page)
        # Pages below the section mark tabs and crumbs of their own; of the sections, this one alone.
        assert {each for each in current if each.count("/") == 4} == {f"/t/{team.slug}/datasets/"}, path
