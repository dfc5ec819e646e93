"""Downloading one commit of a model from the Hugging Face hub: safetensors, tokenizer, configuration, nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.importing.errors import ImportRefused
from apps.providers.engine.importing.files import is_taken

Progress = Callable[[int, int], None]


def download(
    repository: str, revision: str, destination: Path, *, weights_bytes: int, weights_sha256: str, progress: Progress
) -> None:
    """Fetch the files of a commit and check their sizes and hashes. A download that broke off goes on where it ended.

    Raises ImportRefused with `hub_unreachable` when nothing answers, `not_a_model` when something else came.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    destination.mkdir(parents=True, exist_ok=True)
    try:
        found = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=20)
        files = [file for file in found.siblings or [] if "/" not in file.rfilename and is_taken(file.rfilename)]
        total, done = sum(file.size or 0 for file in files), 0
        for file in sorted(files, key=lambda file: file.size or 0):
            progress(done, total)
            hf_hub_download(repository, file.rfilename, revision=revision, local_dir=destination)
            _check(destination / file.rfilename, file)
            done += file.size or 0
        progress(total, total)
    except ImportRefused:
        raise
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
    _check_weights(destination, repository, weights_bytes, weights_sha256)


def _check(path: Path, file: Any) -> None:
    expected = file.lfs.sha256 if file.lfs is not None else None
    if (file.size is not None and path.stat().st_size != file.size) or (expected and _sha256(path) != expected):
        path.unlink()
        raise ImportRefused(
            "not_a_model", gettext_noop("%(name)s arrived damaged and was deleted. Press Retry."), name=path.name
        )


def _check_weights(folder: Path, repository: str, size: int, sha256: str) -> None:
    """What the written list says of the weights holds whatever the hub says."""
    weights = folder / "model.safetensors"
    if not weights.is_file() or weights.stat().st_size != size or (sha256 and _sha256(weights) != sha256):
        raise ImportRefused(
            "not_a_model",
            gettext_noop("What the hub sent for %(repository)s is not the model that LLMOpt knows by this name."),
            repository=repository,
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
