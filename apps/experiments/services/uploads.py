"""Taking a file in, and finding out what it holds before anybody relies on it."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import audit, jobs
from apps.core.access import require
from apps.core.faults import fault_point
from apps.core.models import JobStatus
from apps.core.uploads import quarantine
from apps.core.uploads.antivirus import Scan, scan_file
from apps.core.uploads.content import HEAD_BYTES, refusal_of
from apps.core.uploads.quarantine import Quarantined, quarantined_path
from apps.experiments.intake_run import IntakeEnd, job_stopped, run_intake
from apps.experiments.models import Upload


def upload_create(*, actor: Any, team: Any, received: Quarantined) -> Upload:
    """Record a file that lies in quarantine, and queue the job that looks at it. A refused request leaves no file."""
    try:
        with transaction.atomic():
            require(team, actor, "edit")
            upload: Upload = Upload.objects.create(
                team=team,
                created_by=actor,
                name=received.name,
                stored_name=received.stored_name,
                size_bytes=received.size_bytes,
                sha256=received.sha256,
            )
            audit.record(
                actor=actor,
                verb="upload.received",
                target=upload,
                name=upload.name,
                size_bytes=upload.size_bytes,
                sha256=upload.sha256,
            )
            jobs.enqueue(upload)
    except BaseException:
        quarantine.quarantined_delete(received.stored_name)
        raise
    return upload


def upload_refuse(*, actor: Any, team: Any, name: str, reason: str) -> None:
    """Record that a file was refused while it was still arriving."""
    with transaction.atomic():
        require(team, actor, "edit")
        audit.record(actor=actor, verb="upload.refused", target=team, team_id=team.pk, name=name, reason=reason)


def upload_work(*, actor: Any, upload: Upload) -> None:
    """Look at a claimed upload: type, virus scan, then its rows in a process of its own. The row says how it ended."""
    path = quarantined_path(upload.stored_name)
    refused_before = upload.inspection.get("refused")
    if refused_before or not path.exists():
        _refuse(actor, upload, refused_before or _("The file is no longer kept: files are deleted after a week."))
        return
    jobs.heartbeat(upload, phase="type")
    with path.open("rb") as file:
        refusal = refusal_of(file.read(HEAD_BYTES))
    if refusal is not None:
        _refuse(actor, upload, refusal)
        return
    jobs.heartbeat(upload, phase="scan")
    scan = scan_file(path)
    if scan.state == "infected" or (scan.state == "down" and settings.CLAMAV_REQUIRED):
        _refuse(actor, upload, _scan_text(scan))
        return
    fault_point("upload-inspect")
    folder = quarantine.work_folder(upload.stored_name)
    end = run_intake(
        upload,
        "inspect",
        spec={"file": str(path), "name": upload.name, "limits": {"max_bytes": settings.UPLOAD_MAX_BYTES}},
        folder=folder,
    )
    _conclude(actor, upload, end, scan)


def _conclude(actor: Any, upload: Upload, end: IntakeEnd, scan: Scan) -> None:
    if end.outcome == "done":
        found = {**end.result, "scan": scan.as_json()}
        with transaction.atomic():
            if jobs.finish(upload, inspection=found, phase=""):
                audit.record(actor=actor, verb="upload.inspected", target=upload, name=upload.name)
    elif end.outcome == "refused":
        _refuse(actor, upload, end.reason)
    elif end.outcome == "stopped":
        job_stopped(upload)
    else:
        jobs.fail(
            upload,
            error=_("Reading the file stopped with an error: %(error)s") % {"error": end.reason},
            kept=_("The file is kept for a week."),
            next_step=_("Press Retry. If it fails again, send the log to whoever runs LLMOpt."),
        )


def _refuse(actor: Any, upload: Upload, reason: str) -> None:
    """End the job with the reason and delete the file."""
    with transaction.atomic():
        failed = jobs.finish(
            upload,
            to=JobStatus.FAILED,
            inspection={"refused": reason},
            phase="",
            error=reason,
            error_kept=_("The file was deleted; nothing of it was used."),
            error_next=_("Upload another file."),
        )
        if failed:
            audit.record(actor=actor, verb="upload.refused", target=upload, name=upload.name, reason=reason)
    if failed:
        quarantine.quarantined_delete(upload.stored_name)


def _scan_text(scan: Scan) -> str:
    if scan.state == "infected":
        return _("The virus scanner found %(name)s in the file.") % {"name": scan.detail}
    return _(
        "The virus scanner, which must see every file, gave no verdict: %(detail)s. Tell whoever runs LLMOpt, and"
        " upload the file again when it answers."
    ) % {"detail": scan.detail}
