"""The files of a version: written by need in a scratch folder, checked, and stored under the version's hash."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, storages
from django.utils.translation import gettext as _

from apps.core.artifacts import put_folder
from apps.core.errors import ApplicationError
from apps.experiments import rows
from apps.experiments.engine.intake.measures import Measures
from apps.experiments.engine.intake.version_writer import VersionWriter
from apps.experiments.engine.row_reader import RowReader
from apps.experiments.engine.rows import ContentHash, columns_text
from apps.experiments.engine.search_file import VISIBLE, search_path
from apps.experiments.engine.splits import SPLITS, splitter
from apps.experiments.models import Dataset, DatasetVersion

ROWS_FILE = "rows.parquet"


@dataclass(frozen=True)
class Written:
    """A rows file and what is known of it: accepted, splits, content_hash, labels, lengths."""

    path: Path
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def content_hash(self) -> str:
        return str(self.known["content_hash"])

    def counts(self) -> dict[str, Any]:
        return {f"{split}_count": int(self.known["splits"][split]) for split in SPLITS}


@contextmanager
def rewritten(version: DatasetVersion, change: Callable[[Any], Any], added: Any = None) -> Iterator[Written]:
    """The rows of `version` after `change`, and those of the table `added`, in a folder that lives as long."""
    rows.require_recorded(version)
    with _scratch() as folder:
        path = folder / ROWS_FILE
        with rows.open_file(version) as file:
            names = tuple(file.schema_arrow.names)
            measures = Measures(answer=version.answer)
            writer = VersionWriter(path, names=names, measures=measures, search=rows.is_large(version))
            for number in range(file.num_row_groups):
                writer.add(change(file.read_row_group(number)))
        if added is not None:
            writer.add(added)
        yield Written(path, writer.finish())


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder beside the artifacts where they lie on a disk: storing is a link then, not a copy.

    Its name is that of something unfinished, so that what a killed process leaves is swept with the rest.
    """
    storage = storages["artifacts"]
    above = Path(storage.location if isinstance(storage, FileSystemStorage) else tempfile.gettempdir())
    folder = above / f".version.{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def checked_file(path: Path, *, dataset: Dataset, report: dict[str, Any]) -> Written:
    """A staged file whose rows are what its report says, each in the split that the dataset gives its group.

    ApplicationError when the file was changed since, or was made for another dataset.
    """
    place = splitter(seed=dataset.split_seed, probabilities=dataset.probabilities)
    digest, counts = ContentHash(), dict.fromkeys(SPLITS, 0)
    for row in RowReader(_opener(path)).examples():
        digest.add(row.id, row.input, row.expected, row.group_key, row.split, columns_text(row.columns))
        counts[row.split] += 1
        if place(row.group_key) != row.split:
            raise ApplicationError(
                _("The rows were split for another dataset. Check the file again for this one."), code="other_dataset"
            )
    if digest.hexdigest() != report.get("content_hash"):
        raise ApplicationError(_("The checked rows have changed since they were checked. Check the file again."))
    return Written(path, {**report, "splits": counts})


def _opener(path: Path) -> Callable[[], Any]:
    def opened() -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(path)

    return opened


def store(dataset: Dataset, written: Written) -> str:
    """Keep the file, and the texts to search beside it, under the version's hash. Returns the artifact's name."""
    folder = f"datasets/{dataset.uid}/{written.content_hash}"
    storage = storages["artifacts"]
    if not isinstance(storage, FileSystemStorage):
        name = f"{folder}/{ROWS_FILE}"
        if not storage.exists(name):
            with written.path.open("rb") as file:
                storage.save(name, File(file))
        return name
    with _scratch() as scratch:
        for path in (written.path, *(search_path(written.path, split) for split in VISIBLE)):
            if path.exists():
                target = ROWS_FILE if path == written.path else search_path(Path(ROWS_FILE), _split_of(path)).name
                _link_or_copy(path, scratch / target)
        put_folder(scratch, folder)
    return f"{folder}/{ROWS_FILE}"


def _split_of(path: Path) -> str:
    return path.name.split(".")[-2]


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def forget(names: list[str], dataset_uid: Any) -> None:
    """Delete a dataset's files. What is gone already is no error."""
    storage = storages["artifacts"]
    if isinstance(storage, FileSystemStorage):
        shutil.rmtree(Path(storage.path(f"datasets/{dataset_uid}")), ignore_errors=True)
        return
    for name in names:
        storage.delete(name)
