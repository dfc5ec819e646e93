"""``python -m apps.training.engine RUN_DIR``: one training process. docs/training-engine.md describes the protocol."""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from apps.core.engine.messages import gettext_noop
from apps.training.engine.control import StopFlag
from apps.training.engine.errors import TrainingError
from apps.training.engine.events import EventLog, Failed
from apps.training.engine.report import Reporter

FINISHED, FAILED, PAUSED, CANCELLED = 0, 1, 10, 11
_PR_SET_PDEATHSIG = 1
_NO_MEMORY = gettext_noop("There is not enough memory. A smaller batch_size or max_length needs less.")


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    run_dir = Path(options.run_dir).resolve()
    if options.parent_death is not None:
        _die_with_parent(options.parent_death)
    if not run_dir.is_dir():
        sys.stderr.write(f"{run_dir} is not a directory.\n")
        return FAILED
    with (run_dir / "engine.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"Another engine is working on {run_dir}.\n")
            return FAILED
        return _run(run_dir)


def _run(run_dir: Path) -> int:
    stop = StopFlag(run_dir / "control")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.pause())
    log = EventLog(run_dir / "events.jsonl")
    report = Reporter(log, clock=time.monotonic)
    failure: TrainingError | None = None
    outcome = "failed"
    try:
        threads = _set_up_libraries(run_dir)
        from apps.training.engine.run import run_training

        outcome = run_training(run_dir, report, should_stop=stop, clock=time.monotonic, threads=threads)
    except TrainingError as error:
        failure = error
    except MemoryError:
        failure = TrainingError("memory", _NO_MEMORY)
    except OSError as error:
        failure = _os_failure(error)
    except Exception as error:
        failure = _bug(error)
    report.close()
    if failure is not None:
        log.emit(Failed(failure.code, failure.text, failure.row, failure.sentence.as_json()))
        sys.stderr.write(f"{failure.text}\n")
    log.close()
    return {"finished": FINISHED, "pause": PAUSED, "cancel": CANCELLED}.get(outcome, FAILED)


def _set_up_libraries(run_dir: Path) -> int:
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


def _die_with_parent(expected: int) -> None:
    """Ask the kernel to kill this process when its parent dies; leave at once if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.getppid()
    if parent == 1 or (expected and parent != expected):
        sys.exit(FAILED)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m apps.training.engine", description="Train one model.")
    parser.add_argument("run_dir", help="directory with spec.json and the row files")
    parser.add_argument(
        "--parent-death", nargs="?", type=int, const=0, default=None, metavar="PID", help="die with the parent process"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
