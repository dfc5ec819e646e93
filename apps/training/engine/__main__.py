"""``python -m apps.training.engine RUN_DIR``: one training process. docs/training-engine.md describes the protocol."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from pathlib import Path

from apps.training.engine import process
from apps.training.engine.control import StopFlag
from apps.training.engine.errors import TrainingError
from apps.training.engine.events import EventLog, Failed
from apps.training.engine.report import Reporter

FINISHED, FAILED, PAUSED, CANCELLED = 0, 1, 10, 11


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    run_dir = Path(options.run_dir).resolve()
    if options.parent_death is not None:
        process.die_with_parent(options.parent_death)
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
        threads = process.set_up_libraries(run_dir)
        from apps.training.engine.run import run_training

        outcome = run_training(run_dir, report, should_stop=stop, clock=time.monotonic, threads=threads)
    except TrainingError as error:
        failure = error
    except Exception as error:
        failure = process.as_failure(error)
    report.close()
    if failure is not None:
        log.emit(Failed(failure.code, failure.text, failure.row, failure.sentence.as_json()))
        sys.stderr.write(f"{failure.text}\n")
    log.close()
    return {"finished": FINISHED, "pause": PAUSED, "cancel": CANCELLED}.get(outcome, FAILED)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m apps.training.engine", description="Train one model.")
    parser.add_argument("run_dir", help="directory with spec.json and the row files")
    parser.add_argument(
        "--parent-death", nargs="?", type=int, const=0, default=None, metavar="PID", help="die with the parent process"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
