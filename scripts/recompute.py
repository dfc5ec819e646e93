#!/usr/bin/env python3
"""Recompute every figure of a report from its outputs, with code that shares nothing with the product.

    python scripts/recompute.py REPORT.json [--tolerance 1e-9] [--quiet]

Prints figure, reported, recomputed and difference; exits 1 if one differs or is missing, or if the report's shape is
not that of `llmopt.report/1`. Needs numpy and scipy only.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from scripts.recompute_lib.checks import check_report  # noqa: E402  # the path is set above
from scripts.recompute_lib.ledger import Ledger, Row  # noqa: E402  # the path is set above


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"an object has a key twice: {sorted(key for key, _ in pairs)}")
    return found


def read_report(path: Path) -> dict[str, Any]:
    """Raises OSError, or ValueError if the file is not one JSON object."""
    report = json.loads(
        path.read_text(encoding="utf-8"), parse_constant=refuse_constant, object_pairs_hook=refuse_duplicates
    )
    if not isinstance(report, dict):
        raise ValueError("the report is no JSON object")
    return report


def shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    text = "null" if value is None else str(value)
    return text if len(text) <= 26 else text[:25] + "…"


def table_lines(rows: Sequence[Row]) -> list[str]:
    """The table as lines, figures left, numbers right-aligned."""
    cells = [("", "figure", "reported", "recomputed", "difference")]
    for row in rows:
        gap = "" if row.difference is None else f"{row.difference:.2g}"
        cells.append(
            (
                "" if row.agrees else "!",
                row.figure + (f" ({row.remark})" if row.remark else ""),
                shown(row.reported),
                shown(row.recomputed),
                gap,
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return [
        f"{m:<{widths[0]}} {f:<{widths[1]}}  {r:>{widths[2]}}  {c:>{widths[3]}}  {d:>{widths[4]}}".rstrip()
        for m, f, r, c, d in cells
    ]


def print_result(ledger: Ledger, *, quiet: bool) -> None:
    if ledger.rows and not quiet:
        print("\n".join(table_lines(ledger.rows)) + "\n")
    for line in ledger.not_checked:
        print(f"not checked: {line}")
    for problem in ledger.problems:
        print(f"wrong: {problem}")
    for row in ledger.disagreements:
        print(f"differs: {row.figure}: reported {row.reported!r}, recomputed {row.recomputed!r}")
    count = len(ledger.problems) + len(ledger.disagreements)
    print(f"{len(ledger.rows)} figures recomputed, {count} of them or of the report's shape are wrong.")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Recompute every figure of a report from its outputs.")
    parser.add_argument("report", type=Path, help="a llmopt.report/1 file")
    parser.add_argument("--tolerance", type=float, default=1e-9, help="largest difference of two numbers (1e-9)")
    parser.add_argument("--quiet", action="store_true", help="print only what differs")
    options = parser.parse_args(arguments)
    try:
        report = read_report(options.report)
    except (OSError, ValueError) as error:
        print(f"{options.report}: {error}", file=sys.stderr)
        return 1
    ledger = check_report(report, tolerance=options.tolerance)
    print_result(ledger, quiet=options.quiet)
    return 0 if ledger.clean else 1


if __name__ == "__main__":
    sys.exit(main())
