"""From a file that is known harmless to a checked table of rows, kept apart until somebody accepts it."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from apps.core import audit, jobs, live
from apps.core.access import require
from apps.core.artifacts import local_folder, put_folder
from apps.core.errors import ApplicationError, Conflict
from apps.core.faults import fault_point
from apps.core.models import JobStatus
from apps.core.uploads.quarantine import quarantined_path, work_folder
from apps.experiments import rows
from apps.experiments.engine.intake.problems import OFFERED_FIXES
from apps.experiments.intake_run import IntakeEnd, job_stopped, run_intake
from apps.experiments.models import Dataset, DatasetImport, DatasetVersion, Upload
from apps.experiments.models.shares import DEFAULT_PERCENT
from apps.experiments.services.datasets import dataset_create, dataset_version_from_staged, name_free

# What the engine needed, and nobody needs after it.
WORKING_FILES = ("spec.json", "events.jsonl", "output.log", "earlier.parquet", "result.json")
NOT_LABELS = _lazy("The answers are no small set of labels that repeat. Name the labels, or say an answer is text.")
NOT_OBJECTS = _lazy("The answers are not JSON objects with strings and numbers. Say that an answer is something else.")


def dataset_import_create(
    *,
    actor: Any,
    upload: Upload,
    mapping: dict[str, Any],
    answer: dict[str, Any],
    name: str = "",
    dataset: Dataset | None = None,
    validation_percent: int = DEFAULT_PERCENT,
    test_percent: int = DEFAULT_PERCENT,
    fixes: Sequence[str] | None = None,
) -> DatasetImport:
    """Queue the checking of every row. It becomes a version of `dataset`, or of a new dataset called `name`.

    The shares are a new dataset's; a dataset that exists keeps its own. `fixes`: codes of the safe fixes to make, every
    one unless told; rows that another would have mended are left out.
    """
    with transaction.atomic():
        require(upload, actor, "edit")
        if upload.status != JobStatus.SUCCEEDED:
            raise Conflict(_("Only a file that was read through can become a dataset."))
        _check_target(upload, name, dataset)
        row = DatasetImport(
            team=upload.team,
            created_by=actor,
            upload=upload,
            dataset=dataset,
            name=dataset.name if dataset is not None else name,
            mapping=mapping,
            answer=answer,
            fixes=_checked_fixes(fixes),
            split_seed=dataset.split_seed if dataset is not None else secrets.randbelow(2**31),
            validation_percent=dataset.validation_percent if dataset is not None else validation_percent,
            test_percent=dataset.test_percent if dataset is not None else test_percent,
        )
        row.check_shares()
        row.save()
        audit.record(actor=actor, verb="dataset_import.created", target=row, name=row.name, upload=str(upload.uid))
        jobs.enqueue(row)
    return row


def _checked_fixes(fixes: Sequence[str] | None) -> list[str]:
    unknown = sorted(set(fixes or ()) - set(OFFERED_FIXES))
    if unknown:
        raise ApplicationError(
            _("There is no fix %(unknown)s. There are: %(known)s.")
            % {"unknown": ", ".join(unknown), "known": ", ".join(OFFERED_FIXES)},
            field="fixes",
        )
    return [code for code in OFFERED_FIXES if fixes is None or code in fixes]


def dataset_import_again(*, actor: Any, dataset_import: DatasetImport, fixes: Sequence[str]) -> DatasetImport:
    """The same file, mapped the same way, checked anew with other fixes. The import before stays as it is."""
    require(dataset_import, actor, "edit")
    if dataset_import.status != JobStatus.SUCCEEDED:
        raise Conflict(_("The rows of this import have not been checked yet."))
    return dataset_import_create(
        actor=actor,
        upload=dataset_import.upload,
        mapping=dataset_import.mapping,
        answer=dataset_import.answer,
        name=dataset_import.name,
        dataset=dataset_import.dataset,
        validation_percent=dataset_import.validation_percent,
        test_percent=dataset_import.test_percent,
        fixes=fixes,
    )


def _check_target(upload: Upload, name: str, dataset: Dataset | None) -> None:
    if dataset is not None:
        if dataset.team_id != upload.team_id:
            raise ApplicationError(_("The dataset must be one of this team."), field="dataset")
        return
    name_free(team=upload.team, name=name)


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
    end = _answer_found(dataset_import, spec, folder)
    if end is None:
        end = run_intake(dataset_import, "stage", spec=spec, folder=folder)
    _conclude(actor, dataset_import, end, folder)


def _spec(dataset_import: DatasetImport, path: Path, folder: Path) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "file": str(path),
        "name": dataset_import.upload.name,
        "limits": {"max_bytes": settings.UPLOAD_MAX_BYTES},
        "mapping": dataset_import.mapping,
        "answer": dataset_import.answer,
        "fixes": dataset_import.fixes,
        "split_seed": dataset_import.split_seed,
        "probabilities": dataset_import.probabilities,
    }
    if dataset_import.dataset is not None:
        earlier = rows.earlier_file(dataset_import.dataset, folder / "earlier.parquet")
        spec["earlier"] = str(earlier) if earlier is not None else None
    return spec


def _answer_found(dataset_import: DatasetImport, spec: dict[str, Any], folder: Path) -> IntakeEnd | None:
    """Take the labels or keys that nobody named from the rows, into `spec` and the row. An end when there are none."""
    answer = dataset_import.answer
    named = {"label": "labels", "json": "fields"}.get(answer["format"])
    if named is None or answer.get(named):
        return None
    looked = {**spec, "answer": None}
    end = run_intake(dataset_import, "inspect", spec=looked, folder=folder)
    if end.outcome != "done":
        return end
    found = end.result["suggested"]["answer"]
    if found["format"] != answer["format"]:
        return IntakeEnd("refused", reason=str(NOT_LABELS if named == "labels" else NOT_OBJECTS))
    DatasetImport.objects.filter(pk=dataset_import.pk).update(answer=found)
    dataset_import.answer = spec["answer"] = found
    return None


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
    for name in WORKING_FILES:
        (folder / name).unlink(missing_ok=True)
    staged = put_folder(folder, f"imports/{dataset_import.uid}")
    shutil.rmtree(folder, ignore_errors=True)
    with transaction.atomic():
        if jobs.finish(dataset_import, report=end.result, staged=staged, phase=""):
            audit.record(actor=actor, verb="dataset_import.staged", target=dataset_import, name=dataset_import.name)


def dataset_import_accept(*, actor: Any, dataset_import: DatasetImport) -> DatasetVersion:
    """Make the dataset version of what was staged; of one that was accepted before, the version that it became."""
    with transaction.atomic():
        require(dataset_import, actor, "edit")
        row = DatasetImport.objects.select_for_update(of=("self",)).get(pk=dataset_import.pk)
        if row.dataset_version is not None:
            return row.dataset_version
        if row.status != JobStatus.SUCCEEDED:
            raise Conflict(_("The rows of this import have not been checked yet."))
        _check_target(row.upload, row.name, row.dataset)
        dataset = row.dataset or dataset_create(
            actor=actor,
            team=row.team,
            name=row.name,
            split_seed=row.split_seed,
            validation_percent=row.validation_percent,
            test_percent=row.test_percent,
            source=_("Uploaded file %(name)s") % {"name": row.upload.name},
        )
        version = dataset_version_from_staged(
            actor=actor,
            dataset=dataset,
            staged=local_folder(row.staged),
            report=row.report,
            answer=row.answer,
            columns=row.report.get("columns", []),
            parent=dataset.versions.order_by("-number").first(),
            facts={
                "file": row.upload.name,
                "file_sha256": row.upload.sha256,
                "mapping": row.mapping,
                "fixes": row.fixes,
            },
        )
        if not DatasetImport.objects.filter(dataset_version=version).exists():
            DatasetImport.objects.filter(pk=row.pk).update(dataset_version=version)
        audit.record(actor=actor, verb="dataset_import.accepted", target=row, name=dataset.name, number=version.number)
        live.publish(row, "status")
    return version
