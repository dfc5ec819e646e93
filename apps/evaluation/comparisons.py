"""Rows of the comparison tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.core.formats import number_text
from apps.evaluation.charts import exploratory_comparisons, primary_comparisons
from apps.evaluation.engine.sentences import KIND_PHRASES, more_data_sentence
from apps.evaluation.figures import Answer, answer_of, metric_label, p_text


@dataclass(frozen=True)
class ComparisonRow:
    metric: str
    candidate: str
    reference: str
    difference: str
    interval: str
    p: str
    p_adjusted: str
    n: int
    verdict: str
    claimed: bool
    test: str
    method: str
    known: bool


def comparison_rows(document: Mapping[str, Any]) -> list[ComparisonRow]:
    """The decision family on the primary metric, the closest to the reference first; those without figures last."""
    margin, answer = _margin(document), answer_of(document)
    found = primary_comparisons(document)
    found.sort(key=lambda row: (row["difference"] is None, -(row["difference"] or 0.0)))
    return [_row(row, margin, answer, "p_adjusted") for row in found]


def exploratory_rows(document: Mapping[str, Any]) -> list[ComparisonRow]:
    """Every other comparison that has figures."""
    margin, answer = _margin(document), answer_of(document)
    rows = [_row(row, margin, answer, "p_bh") for row in exploratory_comparisons(document)]
    return [row for row in rows if row.known]


def _margin(document: Mapping[str, Any]) -> float:
    return float(document.get("experiment", {}).get("margin", 0.0))


def _row(row: Mapping[str, Any], margin: float, answer: Answer, adjusted: str) -> ComparisonRow:
    known = row["difference"] is not None
    return ComparisonRow(
        metric=metric_label(row["metric"], answer),
        candidate=row["candidate"],
        reference=row["reference"],
        difference=number_text(row["difference"], 3, signed=True),
        interval=_interval(row),
        p=p_text(row["p"]),
        p_adjusted=p_text(row[adjusted]),
        n=row["n"],
        verdict=_verdict(row, margin),
        claimed=bool(row["claimed"]),
        test=_test_text(row),
        method=row["method"] or "",
        known=known,
    )


def _interval(row: Mapping[str, Any]) -> str:
    if row["low"] is None or row["high"] is None:
        return ""
    return _("%(low)s to %(high)s") % {
        "low": number_text(row["low"], 3, signed=True),
        "high": number_text(row["high"], 3, signed=True),
    }


def _verdict(row: Mapping[str, Any], margin: float) -> str:
    if row["kind"] is None:
        return ""
    phrase = _(KIND_PHRASES[row["kind"]]) % {"margin": f"{margin:g}"}
    text = phrase[:1].upper() + phrase[1:]
    differs = row["kind"].startswith(("better", "worse"))
    if differs and not row["claimed"]:
        return _("%(verdict)s; not claimed after the correction") % {"verdict": text}
    more = row["more_examples"]
    return text if more is None else f"{text}. {more_data_sentence(more['more'], more['cost_nanousd'], _)}"


def _test_text(row: Mapping[str, Any]) -> str:
    return "; ".join(part for part in (row["test"], row["method"]) if part)
