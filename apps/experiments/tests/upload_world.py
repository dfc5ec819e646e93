"""Sending files as a browser does, and doing what the queue would do with them, for tests."""

from typing import Any

from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.accounts.models import Team
from apps.experiments.models import DatasetImport, Upload
from apps.experiments.tasks import dataset_import_stage, upload_inspect


def csv_of(count: int) -> str:
    """So many rows about three topics of twenty customers."""
    return "text,label,customer\n" + "".join(
        f"message number {n} about {topic} {n * 7919 % 1000},{topic},c{n % 20}\n"
        for n in range(count)
        for topic in (("refund", "delivery", "praise")[n % 3],)
    )


CSV = csv_of(120)
SHARES = {"validation_percent": "15", "test_percent": "15"}
CHOICES = {
    "input": "text",
    "expected": "label",
    "format": "label",
    "labels": "refund\ndelivery\npraise",
    "name": "Mail",
    **SHARES,
}


def send(client: Client, team: Team, content: bytes, name: str = "mail.csv", **headers: Any) -> Any:
    """POST the file to the page, as its form does."""
    return client.post(f"/t/{team.slug}/datasets/new/", {"file": SimpleUploadedFile(name, content)}, **headers)


def inspected(client: Client, team: Team, content: bytes, name: str = "mail.csv") -> Upload:
    """The upload of a file that the worker has looked at."""
    answer = send(client, team, content, name)
    assert answer.status_code == 302, answer.content
    upload: Upload = Upload.objects.latest("id")
    assert answer.url == f"/t/{team.slug}/uploads/{upload.uid}/"
    upload_inspect(upload.pk)
    upload.refresh_from_db()
    return upload


def staged(client: Client, team: Team, upload: Upload, **choices: Any) -> DatasetImport:
    """The import that the mapping of an upload starts, once the worker has checked every row."""
    answer = client.post(f"/t/{team.slug}/uploads/{upload.uid}/", {**CHOICES, **choices})
    assert answer.status_code == 302, answer.content
    made: DatasetImport = DatasetImport.objects.latest("id")
    dataset_import_stage(made.pk)
    made.refresh_from_db()
    return made


def downloaded(answer: Any) -> str:
    """What an attachment that is made while it is sent holds."""

    async def parts() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    assert answer["Content-Disposition"].startswith("attachment;")
    return async_to_sync(parts)().decode()
