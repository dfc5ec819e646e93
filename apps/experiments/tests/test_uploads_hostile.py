"""Files and people that mean harm: each is refused with a sentence and an event, and the worker goes on."""

import json
import os
import zipfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing.tests.processes import start_process
from apps.core import jobs
from apps.core.errors import Conflict
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests.factories import DatasetFactory, DatasetImportFactory, UploadFactory
from apps.core.uploads.antivirus import Scan
from apps.core.uploads.quarantine import quarantine_folder
from apps.experiments.intake_run import limits_of
from apps.experiments.models import DatasetImport, Upload
from apps.experiments.tasks import upload_inspect
from apps.experiments.tests.upload_world import CHOICES, CSV, inspected, send, staged

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture
def bob_sends(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def zip_bomb() -> bytes:
    """A megabyte of zeros in a kilobyte: it is never unfolded, so its size is no matter."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data.csv", b"0" * 2**20)
    return archive.getvalue()


def workbook() -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("[Content_Types].xml", "xl/workbook.xml"):
            file.writestr(name, "<x/>")
    return archive.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bomb.csv", zip_bomb(), "archives are not opened here"),
        ("table.xlsx", workbook(), "Save the sheet as CSV"),
        ("program.csv", b"\x7fELF" + bytes(100), "Programs are not accepted"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n", "not a table of text"),
        ("noise.csv", bytes(range(1, 256)) * 50, "not a text file"),
        ("nothing.csv", b"", "The file is empty"),
        ("blank.csv", b"\n \n\t\n", "empty"),
        ("object.json", b'{\n"a": {"b": 1}\n}', "one JSON object"),
        ("broken.json", b'[{"input": "a", "expected": "b"}, {', "not a valid JSON list"),
        (
            "deep.jsonl",
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            "Line 1: Lists and objects are nested deeper than 32",
        ),
        ("line.csv", b"a,b\n" + b"x" * 2_000_000 + b",y\n", "Line 2: The line is longer than"),
        ("open.csv", b'a,b\n"x,1\ny,2\n', "Line 2: A quotation mark in this row is not closed"),
        ("header.csv", b"input,expected\n", "no row below its first line"),
        ("scalars.json", b"[42, 43]", "Line 1: A row must be a JSON object"),
        ("deep.json", b"[" * 100_000 + b"]" * 100_000, "Lists and objects are nested deeper than"),
        ("half.json", b'[{"input": "a", "expec', "it ends in the middle"),
        ("one.csv", b"only\nrow\n", "one column, only;"),
    ],
)
def test_a_hostile_file_is_refused_deleted_and_recorded(
    bob_sends: Client, team: Team, name: str, content: bytes, said: str
) -> None:
    upload = inspected(bob_sends, team, content, name)

    assert upload.status == JobStatus.FAILED
    assert said in upload.error
    assert list(quarantine_folder().iterdir()) == []
    event = AuditEvent.objects.get(verb="upload.refused")
    assert event.facts["reason"] == upload.error
    page = bob_sends.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()
    assert "Upload another file" in page
    assert "Retry job" not in page


def test_columns_without_a_name_of_their_own_get_one_and_the_page_says_so(bob_sends: Client, team: Team) -> None:
    content = "input,input,,expected\n" + "".join(f"question {n},more {n},x,{'ab'[n % 2]}\n" for n in range(40))

    upload = inspected(bob_sends, team, content.encode())

    assert upload.status == JobStatus.SUCCEEDED, upload.error
    assert upload.inspection["columns"] == ["input", "input (2)", "column 3", "expected"]
    page = bob_sends.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()
    assert "Column 2 has no name, or one that an earlier column has; it is called input (2) here." in page


def test_a_quotation_mark_that_is_never_closed_says_how_far_it_reaches(bob_sends: Client, team: Team) -> None:
    rows = [f"question {n},{'ab'[n % 2]}" for n in range(40)]
    upload = inspected(bob_sends, team, "\n".join(["input,expected", *rows[:30], '"open,a', *rows[30:]]).encode())

    assert (upload.inspection["usable"], upload.inspection["rows"]) == (30, 31)
    (problem,) = upload.inspection["problems"]
    assert problem["line"] == 32
    assert "All lines up to line 42 were taken for one row." in problem["message"]


def test_a_refused_file_stays_refused_however_often_it_is_tried(bob_sends: Client, team: Team, bob: User) -> None:
    upload = inspected(bob_sends, team, zip_bomb())
    reason = upload.error

    with pytest.raises(Conflict, match="Upload another file"):
        jobs.job_resume(actor=bob, row=upload)
    upload_inspect(upload.pk)
    assert "Retry job" not in bob_sends.get(f"/t/{team.slug}/jobs/").content.decode()

    upload.refresh_from_db()
    assert (upload.status, upload.error) == (JobStatus.FAILED, reason)


def test_a_row_that_is_hostile_is_named_and_the_others_are_used(bob_sends: Client, team: Team) -> None:
    deep = ("[" * 1000 + "]" * 1000).encode()
    rows = [{"input": f"question {n} about {n * 7919 % 1000}", "expected": f"{n}"} for n in range(40)]
    lines = [json.dumps(row).encode() for row in rows]
    hostile = [
        b'{"input": "a\\u0000b\\u0007c", "expected": "with controls"}',
        b'{"input": "x", "expected": ' + deep + b"}",
        b'{"input": "' + b"y" * 1_500_000 + b'", "expected": "too long"}',
        b'{"input": "\xff\xfe", "expected": "no text"}',
        b"not json at all",
    ]
    upload = inspected(bob_sends, team, b"\n".join([*lines, *hostile]), "mixed.jsonl")
    assert upload.status == JobStatus.SUCCEEDED, upload.error
    made = staged(bob_sends, team, upload, input="input", expected="expected", format="text")

    assert made.status == JobStatus.SUCCEEDED, made.error
    assert made.report["accepted"] >= 40
    assert {"deep_json", "long_line", "bad_json"} <= set(made.report["counts"])
    assert {problem["line"] for problem in made.report["problems"]} & {42, 43, 45}
    page = bob_sends.get(f"/t/{team.slug}/imports/{made.uid}/")
    assert page.status_code == 200
    assert b"\x00" not in page.content


def test_a_file_above_the_limit_is_refused_while_it_arrives(bob_sends: Client, team: Team, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000

    answer = send(bob_sends, team, CSV.encode(), "../../large.csv")

    assert answer.status_code == 422
    assert "large.csv is larger than" in answer.content.decode()
    assert Upload.objects.count() == 0
    assert list(quarantine_folder().iterdir()) == []
    assert AuditEvent.objects.get(verb="upload.refused").facts["name"] == "large.csv"


def test_a_file_that_triples_when_it_becomes_utf_8_is_read_like_any_other(bob_sends: Client, team: Team) -> None:
    """Most of its bytes are signs that take one byte in Windows-1252 and three in UTF-8."""
    rows = [f"{n},{'€' * 245_000}" for n in range(50)]
    content = "\n".join(["text,label", *rows]).encode("cp1252")

    upload = inspected(bob_sends, team, content)

    assert (upload.status, upload.error) == (JobStatus.SUCCEEDED, "")
    assert (upload.inspection["rows"], upload.inspection["usable"]) == (50, 50)
    assert limits_of("inspect").file_bytes >= 3 * settings.UPLOAD_MAX_BYTES


def test_a_name_is_never_a_path(bob_sends: Client, team: Team) -> None:
    send(bob_sends, team, CSV.encode(), "..\\..\\\u202egnp.csv")

    upload = Upload.objects.get()
    assert upload.name == "gnp.csv"
    assert [path.name for path in quarantine_folder().iterdir()] == [upload.stored_name]


def test_a_file_without_the_token_of_its_form_is_not_taken(bob: User, team: Team) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)

    assert send(client, team, CSV.encode()).status_code == 403
    assert Upload.objects.count() == 0
    assert list(quarantine_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("required", "scan", "status", "said"),
    [
        (False, Scan("infected", "Eicar"), JobStatus.FAILED, "found Eicar in the file"),
        (True, Scan("down", "no answer"), JobStatus.FAILED, "gave no verdict: no answer"),
        (False, Scan("down", "no answer"), JobStatus.SUCCEEDED, "was not scanned: no answer"),
        (False, Scan("off"), JobStatus.SUCCEEDED, "No virus scanner is configured"),
        (True, Scan("clean"), JobStatus.SUCCEEDED, "ClamAV found nothing in it"),
    ],
)
def test_the_scanner_decides_and_the_page_says_what_it_said(
    bob_sends: Client,
    team: Team,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    required: bool,
    scan: Scan,
    status: str,
    said: str,
) -> None:
    settings.CLAMAV_REQUIRED = required
    monkeypatch.setattr("apps.experiments.services.uploads.scan_file", lambda path: scan)

    upload = inspected(bob_sends, team, CSV.encode())

    assert upload.status == status
    assert said in bob_sends.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()
    assert len(list(quarantine_folder().glob("*"))) == (0 if status == JobStatus.FAILED else 2)


def test_a_file_that_is_no_longer_kept_says_so(bob_sends: Client, team: Team) -> None:
    upload = inspected(bob_sends, team, CSV.encode())
    (quarantine_folder() / upload.stored_name).unlink()

    made = staged(bob_sends, team, upload)

    assert made.status == JobStatus.FAILED
    assert "no longer kept" in made.error


def test_a_cancelled_import_ends_without_a_dataset(bob_sends: Client, team: Team, bob: User) -> None:
    upload = inspected(bob_sends, team, CSV.encode())
    bob_sends.post(f"/t/{team.slug}/uploads/{upload.uid}/", CHOICES)
    made = DatasetImport.objects.get()

    jobs.job_cancel(actor=bob, row=made)

    made.refresh_from_db()
    assert made.status == JobStatus.CANCELLED
    answer = bob_sends.post(f"/t/{team.slug}/imports/{made.uid}/accept/", follow=True)
    assert "have not been checked yet" in answer.content.decode()
    assert made.dataset_version is None


def test_a_viewer_reads_and_does_not_upload(client: Client, team: Team, vera: User, bob: User) -> None:
    upload = UploadFactory.create(team=team, created_by=bob, status=JobStatus.SUCCEEDED)
    client.force_login(vera)

    assert client.get(f"/t/{team.slug}/uploads/{upload.uid}/").status_code == 200
    assert client.post(f"/t/{team.slug}/uploads/{upload.uid}/", CHOICES).status_code == 403
    assert send(client, team, CSV.encode()).status_code == 403
    assert list(quarantine_folder().iterdir()) == []


def test_what_another_team_has_is_not_there(bob_sends: Client, team: Team, other_team: Team, charlie: User) -> None:
    theirs = UploadFactory.create(team=other_team, created_by=charlie, status=JobStatus.SUCCEEDED)
    their_import = DatasetImportFactory.create(upload=theirs, status=JobStatus.SUCCEEDED)
    their_dataset = DatasetFactory.create(team=other_team, created_by=charlie)
    mine = inspected(bob_sends, team, CSV.encode())
    base = f"/t/{team.slug}"
    statuses = {
        path: bob_sends.post(path, data).status_code
        for path, data in [
            (f"{base}/uploads/{theirs.uid}/", CHOICES),
            (f"{base}/imports/{their_import.uid}/accept/", {}),
            (f"{base}/datasets/new/?dataset={their_dataset.uid}", {}),
            (f"{base}/datasets/{their_dataset.uid}/delete/", {}),
            (f"{base}/datasets/{their_dataset.uid}/settings/", {"name": "mine"}),
            (f"{base}/datasets/{their_dataset.uid}/v/1/derive/", {"operation": "keep_text", "text": "a"}),
            (f"{base}/datasets/{their_dataset.uid}/v/1/fresh-test/", {}),
            (f"{base}/datasets/{their_dataset.uid}/v/1/rows/abc/", {"input": "a", "expected": "b"}),
        ]
    }
    assert set(statuses.values()) == {404}, statuses
    # Named in a field, it is no choice at all.
    for uid in (their_dataset.uid, theirs.uid):
        answer = bob_sends.post(f"{base}/uploads/{mine.uid}/", {**CHOICES, "dataset": str(uid)})
        assert answer.status_code == 422
    assert DatasetImport.objects.count() == 1


def _look_and_die(pk: int, folder: str) -> None:
    os.environ.update(LLMOPT_FAULT="upload-inspect", LLMOPT_FAULT_DIR=folder)
    upload_inspect(pk)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_while_it_looks_leaves_a_job_that_goes_on(
    bob_sends: Client, team: Team, tmp_path: Path, settings: Any
) -> None:
    send(bob_sends, team, CSV.encode())
    upload = Upload.objects.get()
    process = start_process(_look_and_die, upload.pk, str(tmp_path))
    process.join()
    assert process.exitcode == -9
    upload.refresh_from_db()
    assert upload.status == JobStatus.RUNNING

    assert jobs.reap(timezone.now() + timedelta(seconds=settings.JOB_DEAD_AFTER_SECONDS + 5)) >= 1
    upload_inspect(upload.pk)

    upload.refresh_from_db()
    assert (upload.status, upload.attempt) == (JobStatus.SUCCEEDED, 2)
