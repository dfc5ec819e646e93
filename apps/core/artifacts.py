"""Storing what a job produced. An artifact appears whole or not at all, and never changes under its name."""

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError

PARTIAL_SECONDS = 24 * 3600.0
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{32}")


def put_bytes(name: str, data: bytes) -> str:
    """Store `data` under `name` and return the name. The same content may be stored twice; other content is refused."""
    storage = storages["artifacts"]
    if storage.exists(name):
        return _kept(name, data)
    if not isinstance(storage, FileSystemStorage):
        return storage.save(name, ContentFile(data))
    # The storage's own save is not atomic: a kill would leave a short file under the final name.
    target = Path(storage.path(name))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A rename would replace what somebody else has put there meanwhile.
        os.link(partial, target)
    except FileExistsError:
        return _kept(name, data)
    finally:
        partial.unlink(missing_ok=True)
    return name


def _kept(name: str, data: bytes) -> str:
    if get_bytes(name) != data:
        raise ApplicationError(
            _("The artifact %(name)s exists with other content.") % {"name": name}, code="artifact_exists"
        )
    return name


def _partial(target: Path) -> Path:
    """A name beside `target` for what is not whole yet."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}")


def get_bytes(name: str) -> bytes:
    with storages["artifacts"].open(name, "rb") as file:
        data: bytes = file.read()
    return data


def local_folder(name: str) -> Path:
    """The local path of a folder of artifacts, for programs that need real files."""
    storage = storages["artifacts"]
    if not isinstance(storage, FileSystemStorage):
        raise ApplicationError(
            _("Model folders need artifact storage on this machine's disk."), code="artifact_not_local"
        )
    return Path(storage.path(name))


def put_folder(source: Path, name: str) -> str:
    """Move a finished folder to its name by one rename. A folder already there is kept: the work was done before."""
    target = local_folder(name)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(target)
        shutil.copytree(source, partial, copy_function=_link_or_copy)
        try:
            partial.replace(target)
        except OSError:
            shutil.rmtree(partial)
            if not target.exists():
                raise
    return name


def forget_partials(now: float | None = None) -> int:
    """Delete what killed processes left half written more than a day ago. Returns how many files and folders."""
    storage = storages["artifacts"]
    if not isinstance(storage, FileSystemStorage):
        return 0
    before = (time.time() if now is None else now) - PARTIAL_SECONDS
    partials = [path for path in Path(storage.location).rglob(".*") if _PARTIAL.fullmatch(path.name)]
    old = [path for path in partials if _modified_at(path) < before]
    for path in old:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(old)


def _modified_at(path: Path) -> float:
    """Never, for what its writer has finished or given up meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the relative path and the SHA-256 of every file, in the order of the paths."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))
