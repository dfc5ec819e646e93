"""Safe fixes are chosen one by one: offered with count and example, kept with the import, told on the version."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError
from apps.core.models import JobStatus
from apps.core.tests import factories
from apps.experiments.engine.intake.problems import OFFERED_FIXES
from apps.experiments.models import DatasetImport, DatasetVersion, Upload
from apps.experiments.services.imports import dataset_import_create
from apps.experiments.tasks import dataset_import_stage
from apps.experiments.tests.upload_world import CHOICES, CSV, downloaded, inspected, staged

pytestmark = pytest.mark.django_db

BROKEN = (
    CSV
    + "a row that ends early and has no customer,refund\n"
    + "another that ends early,praise\n"
    + "a bell rings \x07 in this one,refund,c1\n"
    + "somebody shouted the label,REFUND,c3\n"
)
OFFERED = ("ragged", "control", "label_spelling")


@pytest.fixture
def editor(client: Client, team: Team, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def upload(editor: Client, team: Team) -> Upload:
    return inspected(editor, team, BROKEN.encode())


def checked(editor: Client, team: Team, upload: Upload, *ticked: str, **choices: Any) -> DatasetImport:
    """The import that the page's form makes with these boxes ticked."""
    return staged(editor, team, upload, fixes=ticked, fixes_offered=OFFERED, **choices)


def accepted(editor: Client, team: Team, made: DatasetImport) -> DatasetVersion:
    editor.post(f"/t/{team.slug}/imports/{made.uid}/accept/")
    made.refresh_from_db()
    assert made.dataset_version is not None
    return made.dataset_version


def test_each_fix_is_offered_ticked_with_its_count_and_an_example(editor: Client, team: Team, upload: Upload) -> None:
    page = editor.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()

    for code in OFFERED:
        assert page.count(f'name="fixes" value="{code}"') == 1
        assert f'type="hidden" name="fixes_offered" value="{code}"' in page
    assert page.count("checked") >= len(OFFERED)
    assert "2 rows, the first in line 122: The row has 2 cells, the header 3." in page
    assert "They are removed. 1 row, line 124:" in page
    assert "It is written as the label. 1 row, line 125: “REFUND” differs from a label" in page
    assert 'value="encoding"' not in page


def test_a_fix_without_a_tick_leaves_its_rows_out_counted_and_downloadable(
    editor: Client, team: Team, upload: Upload
) -> None:
    made = checked(editor, team, upload, "control")

    assert made.fixes == ["encoding", "control"]
    assert made.report["accepted"] == 121
    assert made.report["fixed_by_reason"] == {"control characters": 1}
    assert made.report["left_out"] == {"another number of cells than the header": 2, "a label in other spelling": 1}
    sheet = downloaded(editor.get(f"/t/{team.slug}/imports/{made.uid}/problems.csv"))
    told = [(row["line"], row["done"]) for row in csv.DictReader(io.StringIO(sheet))]
    assert told == [("122", "left out"), ("123", "left out"), ("124", "fixed"), ("125", "left out")]

    # The version that is made of it says the same.
    version = accepted(editor, team, made)
    page = editor.get(f"/t/{team.slug}/datasets/{version.dataset.uid}/v/1/about/").content.decode()

    assert version.facts["fixes"] == ["encoding", "control"]
    assert "control characters: 1 row was mended" in page
    assert "another number of cells than the header: declined, 2 rows were left out" in page
    assert "a label in other spelling: declined, 1 row was left out" in page
    assert "not UTF-8" not in page


def test_a_checked_file_is_checked_again_with_other_fixes(editor: Client, team: Team, upload: Upload) -> None:
    first = checked(editor, team, upload, *OFFERED)
    assert first.report["accepted"] == 124
    address = f"/t/{team.slug}/imports/{first.uid}/"
    page = editor.get(address).content.decode()
    assert "2 rows, the first in line 122" in page
    assert "Check again with these fixes" in page

    answer = editor.post(address, {"fixes_offered": OFFERED, "fixes": ["ragged", "control"]})

    second = DatasetImport.objects.latest("id")
    assert answer.url == f"/t/{team.slug}/imports/{second.uid}/"
    assert (second.mapping, second.answer, second.name) == (first.mapping, first.answer, first.name)
    dataset_import_stage(second.pk)
    second.refresh_from_db()
    assert second.report["left_out"] == {"a label in other spelling": 1}
    page = editor.get(answer.url).content.decode()
    assert 'value="label_spelling" id="id_fixes_2">' in page  # offered again, without its tick
    first.refresh_from_db()
    assert first.report["accepted"] == 124


def test_whoever_was_asked_nothing_gets_every_fix(editor: Client, team: Team, upload: Upload) -> None:
    made = staged(editor, team, upload)
    assert made.fixes == list(OFFERED_FIXES)
    assert made.report["left_out"] == {}


def test_lines_of_another_encoding_are_left_out_when_it_is_declined(editor: Client, team: Team) -> None:
    text = CSV.replace("praise", "Gru\u00df")
    upload = inspected(editor, team, text.encode("cp1252"))
    page = editor.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()
    assert "Read it as Windows-1252." in page

    made = staged(editor, team, upload, fixes_offered="encoding", format="text")

    assert made.report["left_out"] == {"not Unicode text": 40}
    version = accepted(editor, team, made)
    page = editor.get(f"/t/{team.slug}/datasets/{version.dataset.uid}/v/1/about/").content.decode()
    assert "not UTF-8: declined, 40 rows were left out" in page


def test_the_api_takes_the_same_choice(editor: Client, team: Team, upload: Upload) -> None:
    def post(fixes: Any) -> Any:
        body = {"name": "By API", "answer": {"format": "label", "labels": ["refund", "delivery", "praise"]}}
        address = f"/api/v1/uploads/{upload.uid}/import"
        return editor.post(address, json.dumps({**body, "fixes": fixes}), content_type="application/json")

    made = post(["label_spelling"])
    assert made.status_code == 202, made.content
    assert made.json()["fixes"] == ["label_spelling"]
    row = DatasetImport.objects.get(uid=made.json()["uid"])
    dataset_import_stage(row.pk)
    answer = editor.get(f"/api/v1/imports/{row.uid}").json()
    assert answer["report"]["left_out"] == {"another number of cells than the header": 2, "control characters": 1}
    refused = post(["bom"])
    assert refused.status_code == 400
    assert "fixes" in json.dumps(refused.json())


def test_nobody_else_chooses(client: Client, team: Team, bob: User, vera: User, charlie: User) -> None:
    upload = factories.UploadFactory.create(team=team, created_by=bob)
    made = factories.DatasetImportFactory.create(upload=upload, status=JobStatus.SUCCEEDED)
    for person, status in ((vera, 403), (charlie, 404)):
        client.force_login(person)
        answer = client.post(f"/t/{team.slug}/imports/{made.uid}/", {"fixes_offered": OFFERED})
        assert answer.status_code == status
    assert DatasetImport.objects.count() == 1


def test_a_fix_that_is_none_and_a_file_that_is_not_checked_are_refused(
    editor: Client, team: Team, upload: Upload, bob: User
) -> None:
    with pytest.raises(ApplicationError, match="There is no fix bom. There are: encoding, ragged"):
        dataset_import_create(
            actor=bob, upload=upload, mapping={}, answer={"format": "text"}, name="Mail", fixes=["bom"]
        )
    editor.post(f"/t/{team.slug}/uploads/{upload.uid}/", CHOICES)
    waiting = DatasetImport.objects.get()
    answer = editor.post(f"/t/{team.slug}/imports/{waiting.uid}/", {}, follow=True)
    assert "have not been checked yet" in answer.content.decode()
    assert DatasetImport.objects.count() == 1
