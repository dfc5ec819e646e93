"""Uploads and imports for photographs: one looked at, one refused, one under way."""

import hashlib

from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.jobs import claim, heartbeat
from apps.core.uploads.quarantine import Incoming
from apps.experiments import rows
from apps.experiments.models import DatasetImport, DatasetVersion, Upload
from apps.experiments.services.imports import dataset_import_create
from apps.experiments.services.uploads import upload_create
from apps.experiments.tasks import dataset_import_stage, upload_inspect

TOPICS = ("refund", "delivery", "praise")


def _table() -> bytes:
    """Fictional messages to a shop, with a few rows that are wrong on purpose."""
    lines = ["message,topic,customer"]
    for n in range(160):
        word = hashlib.sha256(str(n).encode()).hexdigest()[:8]
        lines.append(f"The parcel {word} that I ordered last week is what I write about,{TOPICS[n % 3]},c{n % 25}")
    lines += [lines[5], ",refund,c1", "No answer stands here,,c2", "An odd one,complaint,c3"]
    return ("\ufeff" + "\n".join(lines)).encode()


def _sent(team: Team, owner: User, name: str, content: bytes) -> Upload:
    incoming = Incoming(max_bytes=10**7)
    incoming.write(content)
    return upload_create(actor=owner, team=team, received=incoming.keep(name))


def look_uploads(team: Team, owner: User, state: str) -> None:
    """What the team of a state has sent."""
    if state == "failed":
        upload_inspect(_sent(team, owner, "messages.xlsx", b"PK\x03\x04xl/workbook.xml" + bytes(100)).pk)
        return
    upload = _sent(team, owner, "messages.csv", _table())
    if state == "running":
        working = claim(Upload, upload.pk)
        if working is not None:
            heartbeat(working, phase="reading", done=6_000_000, total=upload.size_bytes * 1000)
        return
    upload_inspect(upload.pk)
    upload.refresh_from_db()
    made = dataset_import_create(
        actor=owner,
        upload=upload,
        mapping={"shape": "columns", "input": "message", "expected": "topic", "group": "customer", "keep": []},
        answer={"format": "label", "labels": list(TOPICS)},
        name="Messages to the shop",
    )
    dataset_import_stage(made.pk)


def upload_pages(team: Team, version: DatasetVersion | None) -> list[tuple[str, str]]:
    """Name and address of each page of this kind that the team has."""
    pages = [("upload-new", reverse("dataset_new", args=[team.slug]))]
    pages += [("upload", reverse("upload", args=[team.slug, row.uid])) for row in Upload.objects.filter(team=team)[:1]]
    imports = DatasetImport.objects.filter(team=team)[:1]
    pages += [("import", reverse("dataset_import", args=[team.slug, row.uid])) for row in imports]
    if version is not None:
        where = [team.slug, version.dataset.uid, version.number]
        tabs = ("figures", "problems", "about", "derive")
        pages += [(f"dataset-{tab}", reverse(f"dataset_version_{tab}", args=where)) for tab in tabs]
        pages += [("dataset-row", reverse("dataset_row", args=[*where, rows.train_rows(version)[0].id]))]
        pages += [("dataset-settings", reverse("dataset_settings", args=[team.slug, version.dataset.uid]))]
        pages += [("dataset-training", reverse("dataset_training", args=[team.slug, version.dataset.uid]))]
        pages += [("dataset-version-training", reverse("dataset_version_training", args=where))]
    return pages
