"""Which build of torch would be installed, and whether it should be.

The CUDA build brings gigabytes of NVIDIA libraries that a machine without a GPU cannot use. A dry run of pip shows
which build the configured index offers.
"""

import os
import re
import shutil
from pathlib import Path

from .console import Phase, can_ask, say
from .dependencies import ROOT, pinned
from .errors import SetupError
from .pip_runner import run_pip

# Sum of the wheels that a dry run of torch 2.13.0 listed on Linux x86_64, its CUDA 13 libraries included.
CUDA_DOWNLOAD_GB = 2.7
CUDA_LIBRARY = re.compile(r"Collecting (nvidia-|cuda-)")

HOW_TO_GET_THE_CPU_BUILD = (
    "To take the CPU build, set TORCH_INDEX_URL to PyTorch's CPU index and run the same command again. "
    'The "Get Started" page of PyTorch\'s site names that index: choose Pip, then CPU.\n'
    "  TORCH_INDEX_URL=<the index it names> make run\n"
    "To install the CUDA build all the same: TORCH_CUDA=1 make run"
)


def has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()


def index_offers_cuda(*, python: Path, log: Path) -> bool:
    """Whether a dry run of torch lists NVIDIA's libraries. It is interrupted at the first one."""
    phase = Phase("Torch build")
    run = run_pip(
        ["install", "--dry-run", "--progress-bar", "off", "-c", str(ROOT / "constraints.txt"), pinned("torch")],
        python=python,
        log=log,
        stop_at=lambda line: CUDA_LIBRARY.match(line) is not None,
    )
    if run.stopped_at:
        phase.close("the index offers the CUDA build")
        return True
    if run.status:
        phase.close("failed")
        raise SetupError(unavailable_text(unreachable=run.unreachable, errors=run.errors(), log=log))
    phase.close("the index offers a build without CUDA")
    return False


def unavailable_text(*, unreachable: bool, errors: list[str], log: Path) -> str:
    """Why packages could not be had, in words."""
    if unreachable:
        first = "The package index cannot be reached: check the network, the proxy settings and `pip config list`."
    else:
        first = "pip could not get the packages."
    shown = "\n".join("  " + line[:200] for line in errors)
    return f"{first} What was fetched before is kept.\n{shown}\nThe whole log: {log}"


def allow_cuda() -> None:
    """Return if the CUDA build may be installed; otherwise raise SetupError with what to do."""
    if has_gpu() or os.environ.get("TORCH_CUDA") == "1":
        say(f"  torch: the CUDA build, about {CUDA_DOWNLOAD_GB} GB to download and more than that on disk.")
        return
    problem = (
        f"The package index offers the CUDA build of torch: about {CUDA_DOWNLOAD_GB} GB to download and more than that "
        "on disk. No NVIDIA GPU was found here."
    )
    if can_ask():
        answer = input(f"{problem}\nInstall it anyway ({CUDA_DOWNLOAD_GB} GB)? [y/N] ")
        if answer.strip().lower() in {"y", "yes"}:
            return
    raise SetupError(f"{problem}\n{HOW_TO_GET_THE_CPU_BUILD}")


def install_from_index(*, python: Path, log: Path, url: str) -> None:
    """Install torch alone from the index that the user named; its dependencies come from the usual index."""
    phase = Phase("Torch")
    run = run_pip(
        ["install", "--progress-bar", "off", "--no-deps", "--index-url", url, pinned("torch")], python=python, log=log
    )
    if run.status:
        phase.close("failed")
        text = unavailable_text(unreachable=run.unreachable, errors=run.errors(), log=log)
        raise SetupError(f"torch could not be installed from TORCH_INDEX_URL. {text}")
    phase.close()


def prepare_torch(*, python: Path, log: Path, installed: bool) -> None:
    """Settle which torch is installed before everything else is. Does nothing where it already is."""
    if installed:
        return
    url = os.environ.get("TORCH_INDEX_URL", "")
    if url:
        install_from_index(python=python, log=log, url=url)
    elif index_offers_cuda(python=python, log=log):
        allow_cuda()
