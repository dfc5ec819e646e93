"""From a file to checked rows, pressed as a person does."""

import json

import pytest
from django.test import Client

from apps.accounts.models import Team, User
from apps.core.models import AuditEvent, JobStatus
from apps.core.uploads.quarantine import quarantine_folder
from apps.experiments.models import Upload
from apps.experiments.tests.upload_world import CSV, inspected, send, staged

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob_sends(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def test_a_csv_becomes_checked_rows(bob_sends: Client, team: Team) -> None:
    upload = inspected(bob_sends, team, CSV.encode())

    assert upload.status == JobStatus.SUCCEEDED, upload.error
    assert upload.inspection["rows"] == 120
    page = bob_sends.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()
    assert "message number 0 about refund" in page
    made = staged(bob_sends, team, upload)
    assert made.status == JobStatus.SUCCEEDED, made.error
    assert sum(made.report["splits"].values()) == made.report["accepted"] == 120
    answer = bob_sends.post(f"/t/{team.slug}/imports/{made.uid}/accept/")
    made.refresh_from_db()
    version = made.dataset_version
    assert version is not None
    assert answer.url == f"/t/{team.slug}/datasets/{version.dataset.uid}/v/1/"
    assert version.row_count == 120
    assert version.answer == {"format": "label", "labels": ["refund", "delivery", "praise"]}
    assert bob_sends.get(answer.url).status_code == 200
