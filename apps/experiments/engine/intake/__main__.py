"""``python -m apps.experiments.engine.intake inspect|stage FOLDER``: read a file, in a process apart.

The folder holds `spec.json` (see `spec.py`) and gets `events.jsonl` and `result.json`; `stage` adds `rows.parquet`,
`problems.csv` and `report.json`. The exit status is 0 whenever `result.json` was written, also for a refused file.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
from pathlib import Path
from typing import Any

# One core is what a reader of files may take; the libraries ask before they are imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import msgspec

from apps.core.engine.messages import EngineError, gettext_noop
from apps.experiments.engine.intake.events import Events
from apps.experiments.engine.intake.inspecting import inspect, refusal
from apps.experiments.engine.intake.spec import Limits, read_spec
from apps.experiments.engine.intake.staging import REPORT_FILE, stage

_NO_MEMORY = gettext_noop("The file needs more than the %(limit)s MB of memory that reading one may take.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.experiments.engine.intake", description=__doc__)
    parser.add_argument("command", choices=("inspect", "stage"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    try:
        spec = read_spec(folder)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _limit_process(spec.limits)
    try:
        with Events(folder / "events.jsonl") as events:
            found = (inspect if options.command == "inspect" else stage)(spec, folder, events)
    except MemoryError:
        found = refusal(EngineError(_NO_MEMORY, limit=spec.limits.memory_mib))
    if options.command == "stage":
        _write(folder / REPORT_FILE, found)
    _write(folder / "result.json", found)
    return 0


def _limit_process(limits: Limits) -> None:
    if limits.memory_mib:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_mib * 2**20,) * 2)
    if limits.cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))


def _write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, whenever the process is killed."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(content))
    partial.replace(path)


if __name__ == "__main__":
    # A row leaves no cycles behind; looking for some among millions of values takes a tenth of the time.
    gc.disable()
    sys.exit(main())
