"""`stage`: the file of a version, the list of its problems, and the report that says what became of every row.

The first pass reads, checks, finds exact duplicates, splits and stores. The second compares inputs with each other and
with earlier versions, and mends groups and splits before anything may use them.
"""

from __future__ import annotations

import time
from array import array
from pathlib import Path
from typing import Any

from apps.core.engine.messages import EngineError, gettext_noop
from apps.experiments.engine.intake.checking import Checker
from apps.experiments.engine.intake.events import Events
from apps.experiments.engine.intake.inspecting import refusal, require_columns, watched
from apps.experiments.engine.intake.opening import open_source
from apps.experiments.engine.intake.problems import ProblemLog
from apps.experiments.engine.intake.rowfile import RowWriter, names_of
from apps.experiments.engine.intake.second_pass import second_pass
from apps.experiments.engine.intake.spec import Mapping, Spec
from apps.experiments.engine.rows import columns_text
from apps.experiments.engine.splits import splitter
from apps.experiments.engine.text import text_hash

ROWS_FILE, PROBLEMS_FILE, REPORT_FILE = "rows.parquet", "problems.csv", "report.json"
NO_ROW_LEFT = gettext_noop("No row is left: every row was left out. problems.csv says why.")


def stage(spec: Spec, folder: Path, events: Events) -> dict[str, Any]:
    """The report, which also says `refused`: a sentence when no version can be made of the file."""
    with ProblemLog(folder / PROBLEMS_FILE) as log:
        try:
            report = _staged(spec, folder, events, log)
        except EngineError as error:
            return {**refusal(error), "problems": log.as_json(), "counts": dict(log.counts)}
    return {"refused": None, "refused_sentence": None, **report}


def _staged(spec: Spec, folder: Path, events: Events, log: ProblemLog) -> dict[str, Any]:
    mapping = spec.mapping or Mapping()
    first = folder / "first.parquet"
    started = time.perf_counter()
    source = open_source(spec, folder, log)
    require_columns(mapping, source.head(1000)[1])
    checker = Checker(mapping, spec, log)
    lines = _first_pass(spec, mapping, checker, watched(source, events), first)
    seconds = time.perf_counter() - started
    if not lines:
        raise EngineError(NO_ROW_LEFT)
    started = time.perf_counter()
    found = second_pass(spec, mapping, first=first, target=folder / ROWS_FILE, lines=lines, log=log, events=events)
    second_seconds = time.perf_counter() - started
    first.unlink(missing_ok=True)
    (folder / "text.utf8").unlink(missing_ok=True)
    if not found["accepted"]:
        raise EngineError(NO_ROW_LEFT)
    return {
        "rows_read": checker.read,
        "fixed": checker.fixed,
        "fixed_by_reason": log.fixed(),
        "left_out": log.left_out(),
        "columns": list(mapping.keep),
        "problems": log.as_json(),
        "counts": dict(log.counts),
        **found,
        "rates": {
            "first_pass": round(checker.read / max(seconds, 1e-9)),
            "second_pass": round(len(lines) / max(second_seconds, 1e-9)),
            "first_seconds": round(seconds, 3),
            "second_seconds": round(second_seconds, 3),
        },
    }


def _first_pass(spec: Spec, mapping: Mapping, checker: Checker, records: Any, target: Path) -> array[int]:
    """Store the accepted rows with the groups and splits that they have for themselves. Returns the line of each."""
    split = splitter(seed=spec.split_seed, probabilities=spec.probabilities)
    kept, named = bool(mapping.keep), bool(mapping.group)
    lines = array("q")
    with RowWriter(target, names_of(kept=kept, named=named)) as writer:
        for row in checker.rows(records):
            key = row.group or row.digest.hex()
            stored: tuple[str, ...] = (text_hash(row.input, row.expected), row.input, row.expected, key, split(key))
            if kept:
                stored += (columns_text(row.columns),)
            if named:
                stored += (row.group,)
            writer.add(stored)
            lines.append(row.line)
    return lines
