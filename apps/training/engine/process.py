"""What a process that trains needs first: its libraries set up, its end tied to its parent's, its errors in words."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import traceback
from pathlib import Path

from apps.core.engine.messages import gettext_noop
from apps.training.engine.errors import TrainingError

_PR_SET_PDEATHSIG = 1
_NO_MEMORY = gettext_noop("There is not enough memory. A smaller batch_size or max_length needs less.")


def as_failure(error: Exception) -> TrainingError:
    """Any error as one that a person can read; the traceback of an unknown one goes to the log."""
    if isinstance(error, MemoryError):
        return TrainingError("memory", _NO_MEMORY)
    return _os_failure(error) if isinstance(error, OSError) else _bug(error)


def set_up_libraries(run_dir: Path) -> int:
    """Fix the thread count before the libraries read it, and keep them off the network. Returns the thread count.

    Sums of floats depend on how many threads share them, so every start has the count of the first.
    """
    from apps.training.engine.chosen import keep_chosen, library_versions, usable_cores
    from apps.training.engine.spec import read_spec

    cores = usable_cores()
    wanted = read_spec(run_dir / "spec.json").threads or cores
    chosen = keep_chosen(run_dir / "chosen.json", threads=wanted, cores=cores, versions=library_versions())
    threads = int(chosen["threads"])
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Threads that wait by spinning hold a core which the web server or another trainer needs: with one busy neighbour
    # on two cores a step took 54 s spinning and 6 s sleeping.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ |= {"MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE", "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Meant for finding bugs: it writes every new tensor once before it is computed.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by the module itself
    return threads


def _os_failure(error: OSError) -> TrainingError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        template = gettext_noop(
            "The disk is full. Free some space and start the run again: it goes on from its last checkpoint."
        )
        return TrainingError("disk", template)
    return _bug(error)


def _bug(error: Exception) -> TrainingError:
    if "can't allocate memory" in str(error):
        return TrainingError("memory", _NO_MEMORY)
    traceback.print_exception(error)
    template = gettext_noop("The training engine stopped at an error it does not know (%(kind)s: %(error)s).")
    return TrainingError("bug", template, kind=type(error).__name__, error=error)


def die_with_parent(expected: int) -> None:
    """Ask the kernel to kill this process when its parent dies; leave at once if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.getppid()
    if parent == 1 or (expected and parent != expected):
        sys.exit(1)
