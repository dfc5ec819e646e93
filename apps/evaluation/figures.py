"""Figures of a leaderboard document as a table shows them: text, interval and n."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.core.formats import MISSING, money_text, number_text, percent_text
from apps.evaluation.engine.metrics import scoring_for


@dataclass(frozen=True)
class Shown:
    """One figure in a cell. `own_n` is set only where it differs from the n of the row."""

    text: str
    range: str = ""
    n: int | None = None
    own_n: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""


NOTHING = Shown(MISSING)
_PERCENT = "\u00a0%"
Text = Callable[[float], str]
# What an answer is, as `Experiment.answer`.
Answer = Mapping[str, Any]


def shown(estimate: Mapping[str, Any] | None, text: Text, *, row_n: int | None = None) -> Shown:
    """An estimate {value, low, high, n, method} as text; a bound that does not exist at this n is said so."""
    if not estimate or estimate.get("value") is None:
        return NOTHING
    n = estimate.get("n")
    return Shown(
        text=text(estimate["value"]),
        range=range_text(estimate.get("low"), estimate.get("high"), text),
        n=n,
        own_n=n if row_n is not None and n != row_n else None,
        value=estimate["value"],
        low=estimate.get("low"),
        high=estimate.get("high"),
        method=estimate.get("method", ""),
    )


def range_text(low: float | None, high: float | None, text: Text) -> str:
    if low is None and high is None:
        return ""
    if high is None and low is not None:
        return _("from %(low)s") % {"low": text(low)}
    if low is None and high is not None:
        return _("up to %(high)s") % {"high": text(high)}
    first, second = text(low or 0.0), text(high or 0.0)
    # One unit is enough for both ends.
    first = first.removesuffix(_PERCENT) if second.endswith(_PERCENT) else first
    second = second.removeprefix("$") if first.startswith("$") else second
    return f"{first}–{second}"


def score_text(value: float) -> str:
    return number_text(value, 3)


def share_text(value: float) -> str:
    return percent_text(value, 1)


def cost_text(value: float) -> str:
    """Nano-dollars, of which a fraction may be left of a mean: rounded up, so that it never reads as nothing."""
    return money_text(math.ceil(value))


def latency_text(value: float) -> str:
    """Milliseconds with the decimals that a reader can use: a look-up takes microseconds, a model seconds."""
    if 0 < value < 0.05:
        return f"<\u00a0{number_text(0.1, 1)}"
    return number_text(value, 1 if value < 100 else 0)


def p_text(value: float | None) -> str:
    """A p-value; below a thousandth only that is said."""
    if value is None:
        return MISSING
    return f"<\u00a0{number_text(0.001, 3)}" if value < 0.001 else number_text(value, 3)


def metric_label(name: str, answer: Answer) -> str:
    """The metric's name in the reader's language, with a capital."""
    metric = scoring_for(answer).metrics.get(name)
    text = _(metric.label) if metric is not None else name.replace("_", " ")
    # "chrF" is a name of its own; "field F1" is not.
    return text[:1].upper() + text[1:] if text.partition(" ")[0].islower() else text


def metric_help(name: str, answer: Answer) -> str:
    """How the metric is computed; what it means hangs on what an answer is."""
    metric = scoring_for(answer).metrics.get(name)
    return _(metric.help) % metric.help_values if metric is not None else ""


def metric_text(name: str, answer: Answer) -> Text:
    """How this metric's values are written: a rate as a percentage, a score with three decimals."""
    metric = scoring_for(answer).metrics.get(name)
    return share_text if metric is not None and metric.kind == "binary" else score_text


def invalid_text(answer: Answer) -> str:
    """What is wrong with an answer that its format does not allow."""
    match scoring_for(answer).format:
        case "label":
            return _("None of the labels")
        case "number":
            return _("Not a number")
        case "text":
            return _("Empty")
        case _:
            return _("Not valid JSON")


def answer_of(document: Mapping[str, Any]) -> Answer:
    """What an answer is in a report or a leaderboard; those without a word about it have JSON answers."""
    answer: Answer = document.get("experiment", {}).get("answer", {})
    return answer


def interval_figures(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """p50 and p95 of a document's `latency_ms` as estimates."""
    latency = row.get("latency_ms") or {}

    def of(name: str) -> dict[str, Any]:
        return {
            "value": latency.get(name),
            "low": latency.get(f"{name}_low"),
            "high": latency.get(f"{name}_high"),
            "n": latency.get("n"),
            "method": latency.get("method", ""),
        }

    return of("p50"), of("p95")
