"""Unpacking a .zip or .tar that somebody sent, as if it were meant to do harm."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.importing.errors import ImportRefused
from apps.providers.engine.importing.files import MOST_FILES, is_taken, refuse_harmful

# Trained weights are noise to a compressor; only a bomb shrinks to a fiftieth.
MOST_RATIO = 50
SMALL_BYTES = 16 * 1024 * 1024
_CHUNK = 1024 * 1024
_MEMORY_BYTES = 2 * 1024**3


def unpack(archive: Path, destination: Path, *, most_bytes: int) -> tuple[str, ...]:
    """Write the files of a model that `archive` holds below `destination`. Returns the names of what was left out.

    Raises ImportRefused for links, names that lead elsewhere, code, pickles, two files of one name, and for more than
    `most_bytes` or MOST_RATIO times the archive's own size in all.
    """
    most = min(most_bytes, max(SMALL_BYTES, MOST_RATIO * archive.stat().st_size))
    destination.mkdir(parents=True)
    with limited(most):
        if zipfile.is_zipfile(archive):
            return _unpack_zip(archive, destination, most)
        try:
            return _unpack_tar(archive, destination, most)
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            raise ImportRefused(
                "not_a_model", gettext_noop("This is neither a .zip nor a .tar file, or it is damaged.")
            ) from error


@contextmanager
def limited(file_bytes: int) -> Iterator[None]:
    """Let this process take no more memory, and write no larger file, than unpacking needs."""
    import resource

    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE)}
    wanted = {resource.RLIMIT_AS: _MEMORY_BYTES, resource.RLIMIT_FSIZE: file_bytes + _CHUNK}
    for kind, value in wanted.items():
        hard = before[kind][1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    try:
        yield
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


class _Writer:
    """Counts what is written, whatever the archive says about it."""

    def __init__(self, destination: Path, most: int) -> None:
        self.destination, self.most, self.written, self.seen = destination, most, 0, set[str]()
        self.left: list[str] = []

    def take(self, name: str, file: IO[bytes]) -> None:
        target = self.destination.joinpath(*PurePosixPath(name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            while chunk := file.read(_CHUNK):
                self.count(len(chunk))
                out.write(chunk)

    def count(self, length: int) -> None:
        """Add what came out of the archive; ImportRefused once that is too much."""
        self.written += length
        if self.written > self.most:
            raise ImportRefused(
                "hostile",
                gettext_noop("Unpacked, this is more than %(megabytes)d MB: more than is taken, or a zip bomb."),
                megabytes=self.most // 10**6,
            )

    def wants(self, name: str) -> bool:
        """Whether the member is a file of a model; ImportRefused when its name is a trick or its kind harms."""
        _refuse_path_tricks(name)
        if len(self.seen) >= MOST_FILES:
            raise ImportRefused(
                "hostile", gettext_noop("The archive holds more than %(count)d files."), count=MOST_FILES
            )
        if name.lower() in self.seen:
            raise ImportRefused("hostile", gettext_noop("The archive holds %(name)s twice."), name=name)
        self.seen.add(name.lower())
        refuse_harmful(name)
        if not is_taken(name) or name.startswith("__MACOSX/"):
            self.left.append(name)
            return False
        return True


def _refuse_path_tricks(name: str) -> None:
    path = PurePosixPath(name)
    tricks = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not name.isprintable()
    if tricks or len(name) > 400 or len(path.parts) > 8:
        raise ImportRefused(
            "hostile",
            gettext_noop("A file in the archive is named %(name)s, which leads out of it."),
            name=repr(name[:120]),
        )


def _refuse_link(name: str) -> None:
    raise ImportRefused(
        "hostile", gettext_noop("%(name)s in the archive is a link or a device, not a file."), name=name[:120]
    )


def _unpack_zip(archive: Path, destination: Path, most: int) -> tuple[str, ...]:
    writer = _Writer(destination, most)
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    _refuse_link(member.filename)
                if member.flag_bits & 1:
                    raise ImportRefused(
                        "not_a_model", gettext_noop("The archive is encrypted. Send it without a password.")
                    )
                if member.is_dir():
                    _refuse_path_tricks(member.filename)
                elif writer.wants(member.filename):
                    with packed.open(member) as file:
                        writer.take(member.filename, file)
    # zipfile raises NotImplementedError for a compression that it does not know, zlib its own for a damaged stream.
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        raise ImportRefused(
            "not_a_model", gettext_noop("The .zip file is damaged: %(error)s"), error=str(error)[:200]
        ) from error
    return tuple(writer.left)


def _unpack_tar(archive: Path, destination: Path, most: int) -> tuple[str, ...]:
    writer = _Writer(destination, most)
    with tarfile.open(archive, "r:*") as packed:
        for member in packed:
            if member.isdir():
                _refuse_path_tricks(member.name)
            elif not member.isreg() or member.issparse():
                _refuse_link(member.name)
            elif writer.wants(member.name):
                file = packed.extractfile(member)
                assert file is not None
                writer.take(member.name, file)
        # The checksum of a compressed tar stands behind its last block, where nothing else would read it.
        while packed.fileobj is not None and (rest := packed.fileobj.read(_CHUNK)):
            writer.count(len(rest))
    return tuple(writer.left)
