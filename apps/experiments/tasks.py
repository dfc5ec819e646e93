"""Queue entry points of this app."""

from apps.core import jobs
from apps.core.faults import fault_point
from apps.experiments.models import DatasetImport, Upload
from apps.experiments.services.imports import dataset_import_work
from apps.experiments.services.uploads import upload_work


def upload_inspect(pk: int) -> None:
    """Claim the upload and look at its file."""
    upload = jobs.claim(Upload, pk)
    if upload is not None:
        fault_point("claim")
        upload_work(actor=None, upload=upload)


def dataset_import_stage(pk: int) -> None:
    """Claim the import and check every row."""
    dataset_import = jobs.claim(DatasetImport, pk)
    if dataset_import is not None:
        fault_point("claim")
        dataset_import_work(actor=None, dataset_import=dataset_import)
