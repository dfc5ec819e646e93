"""What a page says about an inspected file and about a checked import, computed from what the engine wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.engine.messages import Sentence
from apps.core.errors import translated
from apps.core.formats import count_text
from apps.experiments.engine.intake.problems import KINDS, OFFERED_FIXES
from apps.experiments.engine.resolution import few_rows_sentence
from apps.experiments.models import DatasetImport, DatasetVersion, Upload

# From this share of the rows on, one set of near-duplicates keeps the splits from their shares.
MANY_ALIKE = 0.2
FORMATS = {"csv": "CSV", "tsv": "TSV", "jsonl": "JSONL", "json": "JSON"}


@dataclass(frozen=True)
class InspectionFacts:
    format: str
    encoding: str
    rows: int
    usable: int
    left_out: int
    scanned: str
    scan_missing: str
    scanner_failed: bool


def inspection_facts(upload: Upload) -> InspectionFacts:
    """A file in figures, and whether a virus scanner has seen it."""
    found = upload.inspection
    scan = found.get("scan", {})
    rows, usable = int(found.get("rows", 0)), int(found.get("usable", 0))
    missing = {
        "off": _("No virus scanner is configured here, so the file was not scanned."),
        "down": _("The virus scanner gave no verdict, so the file was not scanned: %(detail)s")
        % {"detail": scan.get("detail", "")},
    }
    return InspectionFacts(
        format=FORMATS.get(found.get("format", ""), ""),
        encoding=str(found.get("encoding", "")).upper(),
        rows=rows,
        usable=usable,
        left_out=max(0, rows - usable),
        scanned=_("ClamAV found nothing in it.") if scan.get("state") == "clean" else "",
        scan_missing=missing.get(scan.get("state", ""), ""),
        scanner_failed=scan.get("state") == "down",
    )


@dataclass(frozen=True)
class Reason:
    reason: str
    count: int


@dataclass(frozen=True)
class ImportFacts:
    rows_read: int
    accepted: int
    fixed: int
    left_out: int
    left_out_by_reason: list[Reason]
    fixed_by_reason: list[Reason]
    splits: list[tuple[str, int]]
    problems: list[dict[str, Any]]
    problem_count: int
    few_test: str
    not_compared: str
    alike: str


def import_facts(dataset_import: DatasetImport) -> ImportFacts:
    """What became of every row."""
    report = dataset_import.report
    splits = report.get("splits", {})
    left_out = report.get("left_out", {})
    return ImportFacts(
        rows_read=int(report.get("rows_read", 0)),
        accepted=int(report.get("accepted", 0)),
        fixed=int(report.get("fixed", 0)),
        left_out=sum(left_out.values()),
        left_out_by_reason=_reasons(left_out),
        fixed_by_reason=_reasons(report.get("fixed_by_reason", {})),
        splits=[
            (_("Train"), int(splits.get("train", 0))),
            (_("Validation"), int(splits.get("validation", 0))),
            (_("Test"), int(splits.get("test", 0))),
        ],
        problems=shown_problems(report),
        problem_count=sum(report.get("counts", {}).values()),
        few_test=few_test_text(int(splits.get("test", 0))),
        not_compared=not_compared_text(int(report.get("pairs_not_compared", 0))),
        alike=alike_text(int(report.get("largest_near_duplicate_group", 0)), int(report.get("accepted", 0))),
    )


def shown_problems(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The problems that an inspection or a report names, in the reader's language."""
    return [
        {
            **each,
            **{name: _said(each[f"{name}_sentence"]) for name in ("message", "fix") if each.get(f"{name}_sentence")},
        }
        for each in found.get("problems", [])
    ]


def _said(sentence: Mapping[str, Any]) -> str:
    return translated(Sentence.from_json(sentence))


def fix_choices(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(code, words) of each fix that a read file has a use for: what it does, how often, and an example."""
    counts = found.get("counts", {})
    first: dict[str, dict[str, Any]] = {}
    for each in shown_problems(found):
        first.setdefault(each["code"], each)
    return [
        (code, _fix_text(first[code], counts[code])) for code in OFFERED_FIXES if code in first and counts.get(code)
    ]


def _fix_text(example: Mapping[str, Any], count: int) -> str:
    if not example["line"]:
        return f"{example['fix']} {example['message']}"
    where = ngettext("%(count)s row, line %(line)s:", "%(count)s rows, the first in line %(line)s:", count) % {
        "count": count_text(count),
        "line": count_text(example["line"]),
    }
    return f"{example['fix']} {where} {example['message']}"


@dataclass(frozen=True)
class FixFact:
    """A safe fix that a version's import made, or that whoever mapped the file declined, and for how many rows."""

    reason: str
    made: bool
    count: int


def fix_facts(version: DatasetVersion) -> list[FixFact]:
    """The fixes that mattered for a version, as its facts keep them."""
    facts = version.facts
    accepted = facts.get("fixes", OFFERED_FIXES)
    found = []
    for code in OFFERED_FIXES:
        made = code in accepted
        # A file whose encoding is not accepted loses the rows that are no UTF-8.
        reason = KINDS["not_unicode" if code == "encoding" and not made else code].reason
        count = facts.get("fixed_by_reason" if made else "left_out_counts", {}).get(reason, 0)
        if count or not made:
            found.append(FixFact(_(KINDS[code].reason), made, count))
    return found


def _reasons(counts: dict[str, int]) -> list[Reason]:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [Reason(_(reason), count) for reason, count in ordered]


def few_test_text(n: int, *, alpha: float = 0.05) -> str:
    """What a test of `n` rows cannot show at this significance level; empty when it is large enough."""
    sentence = few_rows_sentence(n, alpha=alpha)
    return translated(sentence) if sentence is not None else ""


def alike_text(largest: int, rows: int) -> str:
    """What it means that so many of the rows are near-duplicates of each other; empty while they are few."""
    if not rows or largest < MANY_ALIKE * rows:
        return ""
    return _(
        "%(n)s of %(rows)s inputs are almost the same, texts of one template perhaps. Rows that are almost alike stay"
        " in one split, so that none is tested by what was learned from its like; so the splits miss their shares."
        " Upload as input only the part that differs."
    ) % {"n": count_text(largest), "rows": count_text(rows)}


def not_compared_text(pairs: int) -> str:
    """What it means that pairs of inputs were left uncompared; empty when all were compared."""
    if not pairs:
        return ""
    return _(
        "Very many inputs resemble each other, and %(n)s pairs of them were not compared. Near-duplicates among them"
        " may stand both in training and in the test, which makes a result look better than it is. Import the file"
        " again with a group column: rows with the same value in it stay together."
    ) % {"n": count_text(pairs)}


def problem_columns() -> list[dict[str, Any]]:
    return [
        {"label": _("Line"), "numeric": True},
        {"label": _("Column")},
        {"label": _("What is wrong")},
        {"label": _("What is done")},
    ]


def example_columns() -> list[dict[str, Any]]:
    return [{"label": _("Input")}, {"label": _("Expected answer")}, {"label": _("Kept columns")}]
