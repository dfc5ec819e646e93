"""From a file that is known harmless to a checked table of rows, kept apart until somebody accepts it."""

import secrets
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import audit, jobs
from apps.core.access import require
from apps.core.artifacts import put_folder
from apps.core.errors import ApplicationError, Conflict
from apps.core.faults import fault_point
from apps.core.models import JobStatus
from apps.core.uploads.quarantine import quarantined_path, work_folder
from apps.experiments import rows
from apps.experiments.engine.rows import to_parquet
from apps.experiments.intake_run import STAGE_LIMITS, IntakeEnd, job_stopped, run_intake
from apps.experiments.models import Dataset, DatasetImport, Upload


def dataset_import_create(
    *,
    actor: Any,
    upload: Upload,
    mapping: dict[str, Any],
    answer: dict[str, Any],
    name: str = "",
    dataset: Dataset | None = None,
) -> DatasetImport:
    """Queue the checking of every row. It becomes a version of `dataset`, or of a new dataset called `name`."""
    with transaction.atomic():
        require(upload, actor, "edit")
        if upload.status != JobStatus.SUCCEEDED:
            raise Conflict(_("Only a file that was read through can become a dataset."))
        _check_target(upload, name, dataset)
        row: DatasetImport = DatasetImport.objects.create(
            team=upload.team,
            created_by=actor,
            upload=upload,
            dataset=dataset,
            name=dataset.name if dataset is not None else name,
            mapping=mapping,
            answer=answer,
            split_seed=dataset.split_seed if dataset is not None else secrets.randbelow(2**31),
        )
        audit.record(actor=actor, verb="dataset_import.created", target=row, name=row.name, upload=str(upload.uid))
        jobs.enqueue(row)
    return row


def _check_target(upload: Upload, name: str, dataset: Dataset | None) -> None:
    if dataset is not None:
        if dataset.team_id != upload.team_id:
            raise ApplicationError(_("The dataset must be one of this team."), field="dataset")
        return
    if not name.strip():
        raise ApplicationError(_("Give the dataset a name."), field="name")
    if Dataset.objects.filter(team=upload.team_id, name=name).exists():
        raise ApplicationError(
            _("This team has a dataset called %(name)s already. Take another name, or add a version to that one.")
            % {"name": name},
            code="name_taken",
            field="name",
        )


def dataset_import_work(*, actor: Any, dataset_import: DatasetImport) -> None:
    """Check, deduplicate and split every row of a claimed import; what comes of it is kept apart."""
    upload = dataset_import.upload
    path = quarantined_path(upload.stored_name)
    if not path.exists():
        jobs.fail(
            dataset_import,
            error=_("The file is no longer kept: files are deleted after a week."),
            kept=_("Nothing was imported."),
            next_step=_("Upload the file again."),
        )
        return
    fault_point("import-stage")
    folder = work_folder(dataset_import.uid.hex)
    spec = _spec(dataset_import, path, folder)
    end = run_intake(dataset_import, "stage", spec=spec, folder=folder, limits=STAGE_LIMITS)
    _conclude(actor, dataset_import, end, folder)


def _spec(dataset_import: DatasetImport, path: Path, folder: Path) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "file": str(path),
        "name": dataset_import.upload.name,
        "limits": {"max_bytes": settings.UPLOAD_MAX_BYTES},
        "mapping": dataset_import.mapping,
        "answer": dataset_import.answer,
        "split_seed": dataset_import.split_seed,
    }
    if dataset_import.dataset is not None:
        earlier = folder / "earlier.parquet"
        earlier.write_bytes(to_parquet(rows.rows_of_every_version(dataset_import.dataset)))
        spec["earlier"] = str(earlier)
    return spec


def _conclude(actor: Any, dataset_import: DatasetImport, end: IntakeEnd, folder: Path) -> None:
    if end.outcome == "done":
        _keep(actor, dataset_import, end, folder)
    elif end.outcome == "refused":
        jobs.fail(
            dataset_import,
            error=end.reason,
            kept=_("The file and this mapping are kept; no dataset was changed."),
            next_step=_("Change the mapping, or upload a mended file."),
        )
    elif end.outcome == "stopped":
        job_stopped(dataset_import)
    else:
        jobs.fail(
            dataset_import,
            error=_("Checking the rows stopped with an error: %(error)s") % {"error": end.reason},
            kept=_("The file and this mapping are kept; no dataset was changed."),
            next_step=_("Press Retry. If it fails again, send the log to whoever runs LLMOpt."),
        )


def _keep(actor: Any, dataset_import: DatasetImport, end: IntakeEnd, folder: Path) -> None:
    """Move what was staged out of quarantine, and say what is in it."""
    staged = put_folder(folder, f"imports/{dataset_import.uid}")
    shutil.rmtree(folder, ignore_errors=True)
    with transaction.atomic():
        if jobs.finish(dataset_import, report=end.result, staged=staged, phase=""):
            audit.record(actor=actor, verb="dataset_import.staged", target=dataset_import, name=dataset_import.name)
