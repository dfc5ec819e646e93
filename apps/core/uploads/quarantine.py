"""Where sent files lie until they are known harmless, and for a week after. Nothing else reads this folder."""

import hashlib
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

KEEP_SECONDS = 7 * 24 * 3600.0
_STORED_NAME = re.compile(r"[0-9a-f]{32}")


class TooLarge(Exception):
    """More bytes came than a file may have."""


@dataclass(frozen=True)
class Quarantined:
    """A whole file in quarantine. `name` is what its sender called it, for people to read."""

    name: str
    stored_name: str
    size_bytes: int
    sha256: str


def quarantine_folder() -> Path:
    """The folder, readable by the product's own user alone; made if there is none."""
    folder = Path(settings.VAR_DIR) / "quarantine"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def quarantined_path(stored_name: str) -> Path:
    """Where a file lies. ValueError for a name that this module did not give."""
    if not _STORED_NAME.fullmatch(stored_name):
        raise ValueError("this is no name of a quarantined file")
    return quarantine_folder() / stored_name


class Incoming:
    """A file while it arrives: written, counted and hashed piece by piece, never held in memory."""

    def __init__(self, *, max_bytes: int) -> None:
        self.stored_name = secrets.token_hex(16)
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._path = quarantined_path(self.stored_name)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "wb")

    def write(self, data: bytes) -> None:
        """Append `data`. TooLarge, with nothing left of the file, when it grows past its limit."""
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            self.discard()
            raise TooLarge
        self._digest.update(data)
        self._file.write(data)

    def keep(self, name: str) -> Quarantined:
        self._file.close()
        return Quarantined(name, self.stored_name, self.size_bytes, self._digest.hexdigest())

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def quarantined_delete(stored_name: str) -> None:
    """Delete a file and the folder in which a process worked on it. Nothing happens when they are gone."""
    path = quarantined_path(stored_name)
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(".work"), ignore_errors=True)


def work_folder(stored_name: str) -> Path:
    """A new empty folder for a process that works on the file; what an earlier attempt left there is deleted."""
    folder = quarantined_path(stored_name).with_suffix(".work")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def forget_old(now: float | None = None) -> int:
    """Delete what has lain here for a week. Returns how many files and folders."""
    before = (time.time() if now is None else now) - KEEP_SECONDS
    deleted = 0
    for path in quarantine_folder().iterdir():
        try:
            if path.stat(follow_symlinks=False).st_mtime >= before:
                continue
        except FileNotFoundError:
            continue  # deleted meanwhile
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        deleted += 1
    return deleted
