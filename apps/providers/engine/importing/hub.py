"""Downloading one commit of a model from the Hugging Face hub: safetensors, tokenizer, configuration, nothing else.

The hub's own client says where a file lies and reads it over HTTP. It keeps nothing of a download that its process did
not live to end, and several gigabytes over a slow line must be able to go on; so what has arrived is kept here, under
the hash that the hub names for the file.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.importing.errors import ImportRefused
from apps.providers.engine.importing.files import PICKLES, is_taken

Progress = Callable[[int, int], None]
SECONDS_TO_ANSWER = 20
#: Written down in pieces of this length: the most that is lost when a download breaks off.
PIECE_BYTES = 256 * 1024


def download(
    repository: str,
    revision: str,
    destination: Path,
    *,
    weights_bytes: int | None,
    weights_sha256: str,
    spare_bytes: int,
    progress: Progress,
) -> str:
    """Fetch the files of a commit and check them. A download that broke off goes on where it ended.

    `weights_bytes` and `weights_sha256`: what is known of model.safetensors beforehand, where anything is.
    `spare_bytes` of disk are needed afterwards. Returns by what the weights were checked: `list`, the hash that was
    given, or `hub`, the one that the hub names.

    Raises ImportRefused with `hub_unreachable` when nothing answers, `hub_refused` when the hub has no such commit,
    `broken_off`, `disk_full`, and `not_a_model` when something else came.
    """
    destination.mkdir(parents=True, exist_ok=True)
    files = _files(repository, revision)
    done = _Done(sum(file.size or 0 for file in files), progress)
    _check_room(destination, files, spare_bytes)
    for file in sorted(files, key=lambda file: file.size or 0):
        path = destination / file.rfilename
        if not path.is_file():
            _bring(repository, revision, file, path, done)
        done.count(file.size or 0)
    _check_weights(destination, repository, weights_bytes, weights_sha256)
    return "list" if weights_sha256 else "hub"


class _Done:
    """Bytes that have arrived."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.total, self.before, self._progress = total, 0, progress
        progress(0, total)

    def tell(self, of_this_file: int) -> None:
        self._progress(self.before + of_this_file, self.total)

    def count(self, size: int) -> None:
        """Another file is whole."""
        self.before += size
        self._progress(self.before, self.total)


def _files(repository: str, revision: str) -> list[Any]:
    """What the commit holds of a model. ImportRefused when there are no weights that may be taken."""
    from huggingface_hub import HfApi

    found = _asked(
        repository,
        revision,
        lambda: HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=SECONDS_TO_ANSWER),
    )
    names = [file.rfilename for file in found.siblings or [] if "/" not in file.rfilename]
    if not any(name.endswith(".safetensors") for name in names):
        pickles = sorted(name for name in names if Path(name).suffix.lower() in PICKLES)
        if pickles:
            raise ImportRefused(
                "not_a_model",
                gettext_noop(
                    "%(repository)s holds its weights only as %(name)s, which may run code when it is opened. Only"
                    " safetensors are taken."
                ),
                repository=repository,
                name=pickles[0],
            )
        raise ImportRefused("not_a_model", gettext_noop("%(repository)s holds no safetensors."), repository=repository)
    return [file for file in found.siblings or [] if "/" not in file.rfilename and is_taken(file.rfilename)]


def _asked(repository: str, revision: str, ask: Callable[[], Any]) -> Any:
    """What the hub answers; ImportRefused that says whether it is away, has no such thing, or is in trouble."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return ask()
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ImportRefused(
            "hub_refused",
            gettext_noop("The model hub gives nothing for %(repository)s at %(revision)s (%(error)s)."),
            repository=repository,
            revision=revision[:8],
            error=type(error).__name__,
        ) from error
    except HfHubHTTPError as error:
        raise ImportRefused(
            "hub_refused",
            gettext_noop("The model hub answered with status %(status)d instead of %(repository)s."),
            status=error.response.status_code,
            repository=repository,
        ) from error
    except Exception as error:
        raise ImportRefused(
            "hub_unreachable",
            gettext_noop(
                "The model hub could not be reached from this machine (%(error)s). Try again when it is connected, or"
                " download %(repository)s elsewhere and give its folder here."
            ),
            error=type(error).__name__,
            repository=repository,
        ) from error


def _check_room(destination: Path, files: list[Any], spare_bytes: int) -> None:
    here = sum(path.stat().st_size for path in destination.iterdir() if path.is_file())
    needed = sum(file.size or 0 for file in files) - here + spare_bytes
    free = shutil.disk_usage(destination).free
    if needed > free:
        raise disk_full(needed, free)


def disk_full(needed: int, free: int) -> ImportRefused:
    return ImportRefused(
        "disk_full",
        gettext_noop("The model needs %(needed)s GB of disk, and %(free)s GB are free."),
        needed=f"{needed / 1e9:.1f}",
        free=f"{free / 1e9:.1f}",
    )


def _bring(repository: str, revision: str, file: Any, path: Path, done: _Done) -> None:
    """One file, whole and as the hub describes it, under its name."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, file.rfilename, revision=revision)
    place = _asked(repository, revision, lambda: get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER))
    # By its hash: what arrived of other bytes is never continued.
    partial = path.with_name(f".{(_expected(file) or place.etag)[:24]}.part")
    if partial.is_file() and file.size is not None and partial.stat().st_size > file.size:
        partial.unlink()
    with partial.open("r+b" if partial.is_file() else "w+b") as out:
        before = out.seek(0, 2)
        try:
            _read(url, place.location, _Counted(out, done), before, file)
        except Exception as error:
            out.flush()
            raise _broken(error, file, partial) from error
    if not _is_whole(partial, file):
        partial.unlink()
        raise ImportRefused(
            "not_a_model", gettext_noop("%(name)s arrived damaged and was deleted. Press Retry."), name=file.rfilename
        )
    partial.replace(path)


def _read(url: str, location: str, out: _Counted, before: int, file: Any) -> None:
    from urllib.parse import urlsplit

    from huggingface_hub import constants
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    disable_progress_bars()
    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
    headers = build_hf_headers()
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # the place where large files lie signs its addresses
    http_get(location, out, resume_size=before, headers=headers, expected_size=file.size)  # type: ignore[arg-type]


class _Counted:
    """A file that tells how long it has become."""

    def __init__(self, out: IO[bytes], done: _Done) -> None:
        self._out, self._done = out, done

    def write(self, piece: bytes) -> int:
        written = self._out.write(piece)
        self._done.tell(self._out.tell())
        return written

    def seek(self, *place: int) -> int:
        return self._out.seek(*place)

    def tell(self) -> int:
        return self._out.tell()

    def truncate(self) -> int:
        return self._out.truncate()


def _broken(error: Exception, file: Any, partial: Path) -> ImportRefused:
    if isinstance(error, OSError) and is_disk_full(error):
        return disk_full((file.size or 0) - partial.stat().st_size, shutil.disk_usage(partial.parent).free)
    return ImportRefused(
        "broken_off",
        gettext_noop("The download of %(name)s broke off after %(arrived)s of %(total)s MB (%(error)s)."),
        name=file.rfilename,
        arrived=f"{partial.stat().st_size / 1e6:.1f}",
        total=f"{(file.size or 0) / 1e6:.1f}",
        error=type(error).__name__,
    )


def is_disk_full(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _expected(file: Any) -> str:
    """The hash that the hub names: SHA-256 of a large file, git's own of a small one."""
    return str((file.lfs.sha256 if file.lfs is not None else file.blob_id) or "")


def _is_whole(path: Path, file: Any) -> bool:
    if file.size is not None and path.stat().st_size != file.size:
        return False
    if file.lfs is not None:
        return _sha256(path) == file.lfs.sha256
    return file.blob_id is None or _git_hash(path) == file.blob_id


def _check_weights(folder: Path, repository: str, size: int | None, sha256: str) -> None:
    """What the written list says of the weights holds whatever the hub says."""
    weights = folder / "model.safetensors"
    known = weights.is_file() and size in (None, weights.stat().st_size)
    if not known or (sha256 and _sha256(weights) != sha256):
        weights.unlink(missing_ok=True)
        raise ImportRefused(
            "not_a_model",
            gettext_noop(
                "What the hub sent for %(repository)s is not the model that LLMOpt knows by this name. Its weights were"
                " deleted."
            ),
            repository=repository,
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_hash(path: Path) -> str:
    """As git names a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
