"""What the model benchmarks share: the installed base model, prompts, and a process of its own for each side."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, cores

NAME = "smollm2-135m-instruct-q4"
VAR = Path(os.environ.get("LLMOPT_VAR_DIR", ROOT / "var"))
MODELS = VAR / "artifacts" / "models"
ADDRESSES = VAR / "assets" / "usaddress-labeled.xml"


def require(*paths: Path) -> None:
    """End quietly, with a sentence, where the installation has no model yet."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        print(f"skipped: {missing[0]} is missing; `make setup` restores the base model and its data.")
        sys.exit(0)


def in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `work` in a fresh process with one thread per core, so that neither side warms the other up."""
    os.environ |= {"OMP_NUM_THREADS": str(cores()), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)
