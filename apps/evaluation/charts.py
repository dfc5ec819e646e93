"""The charts of an experiment as Plotly figures in plain values; colours and fonts are the theme's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.core.formats import number_text
from apps.evaluation.figures import cost_text, metric_label
from apps.evaluation.selectors.board import Board, BoardRow


@dataclass(frozen=True)
class Chart:
    """A figure with its finding as the title, and the same values as a table."""

    title: str
    subtitle: str
    caption: str
    figure: dict[str, Any]
    table: dict[str, Any]


def difference_chart(board: Board) -> Chart | None:
    """Difference of every candidate from the reference on the primary metric, with its interval."""
    found = [row for row in primary_comparisons(board.document) if row["difference"] is not None]
    if not found:
        return None
    experiment = board.document["experiment"]
    label = metric_label(experiment["primary_metric"], board.answer)
    found.sort(key=lambda row: -row["difference"])
    return Chart(
        title=_difference_finding(found, experiment["reference"], label),
        subtitle=_("Difference from %(reference)s on the same test examples; dotted lines: ±%(margin)s, what matters")
        % {"reference": experiment["reference"], "margin": number_text(experiment["margin"], 2)},
        caption=_("Whiskers: %(level)s %% intervals of the paired difference; n = %(n)s.")
        % {"level": _level(board), "n": _n_range(found)},
        figure=_difference_figure(
            found, label=label, margin=experiment["margin"], recommended=board.document["conclusion"].get("recommended")
        ),
        table=_difference_table(found),
    )


def cost_chart(board: Board) -> Chart | None:
    """The primary metric against the cost of 1,000 requests, one labelled point per candidate."""
    rows = [row for row in board.rows if row.primary.value is not None and (row.cost.value or 0) > 0]
    if len(rows) < 2:
        return None
    label = metric_label(board.primary, board.answer)
    return Chart(
        title=_cost_finding(rows, label),
        subtitle=_("%(metric)s against what 1,000 requests cost") % {"metric": label},
        caption=_("Whiskers: %(level)s %% intervals of %(metric)s; n = %(n)s.")
        % {"level": _level(board), "metric": label, "n": _n_range([{"n": row.n} for row in rows])},
        figure=_cost_figure(rows, label),
        table=_cost_table(rows, label),
    )


def primary_comparisons(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The declared comparisons, which alone can decide."""
    return [dict(row) for row in document.get("comparisons", []) if not row["exploratory"]]


def exploratory_comparisons(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in document.get("comparisons", []) if row["exploratory"]]


def _level(board: Board) -> str:
    """The confidence of the intervals, in percent."""
    return f"{100 * (1 - board.document['experiment']['alpha']):g}"


def _difference_figure(
    found: Sequence[Mapping[str, Any]], *, label: str, margin: float, recommended: str | None
) -> dict[str, Any]:
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [row["difference"] for row in found],
        "y": [row["candidate"] for row in found],
        "error_x": _whiskers([(row["difference"], row["low"], row["high"]) for row in found]),
        "meta": {"roles": ["recommended" if row["candidate"] == recommended else "" for row in found]},
        "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
    }
    layout = {
        "xaxis": {
            "title": {"text": _("Difference in %(metric)s (candidate − reference)") % {"metric": label}},
            "zeroline": True,
            "tickformat": "+.2f",
        },
        "yaxis": {"autorange": "reversed"},
        "shapes": [_vertical(0.0, dash="solid"), _vertical(-margin), _vertical(margin)],
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def _difference_table(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    bounds = ("difference", "low", "high")
    return {
        "columns": [
            {"label": _("Candidate")},
            {"label": _("Difference"), "numeric": True},
            {"label": _("Low"), "numeric": True},
            {"label": _("High"), "numeric": True},
            {"label": _("n"), "numeric": True},
        ],
        "rows": [
            [row["candidate"], *(number_text(row[key], 3, signed=True) for key in bounds), row["n"]] for row in found
        ],
    }


def _cost_figure(rows: Sequence[BoardRow], label: str) -> dict[str, Any]:
    dollars = [float(row.cost.value or 0) / 1e9 for row in rows]
    span = (math.log10(min(dollars)), math.log10(max(dollars)))
    middle = sum(span) / 2
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": dollars,
        "y": [row.primary.value for row in rows],
        "text": [row.candidate.name for row in rows],
        # Above to the right or below to the left: two points of one height never write over each other.
        "textposition": ["top right" if math.log10(x) <= middle else "bottom left" for x in dollars],
        "error_y": _whiskers([(row.primary.value, row.primary.low, row.primary.high) for row in rows]),
        "meta": {"roles": [_role(row) for row in rows]},
        "hovertemplate": "%{text}: %{y:.3f}, $%{x:.2g}<extra></extra>",
    }
    layout = {
        "xaxis": {
            "type": "log",
            "title": {"text": _cost_axis(rows)},
            "range": [span[0] - 0.4, span[1] + 0.4],
            "tickprefix": "$",
            "dtick": 1,
        },
        "yaxis": {"title": {"text": label}, "range": [-0.05, 1.05]},
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def _cost_axis(rows: Sequence[BoardRow]) -> str:
    if any(row.cost_assumed for row in rows):
        return _("Cost per 1,000 requests (USD, assumed price, log scale)")
    return _("Cost per 1,000 requests (USD, log scale)")


def _cost_table(rows: Sequence[BoardRow], label: str) -> dict[str, Any]:
    return {
        "columns": [
            {"label": _("Candidate")},
            {"label": label, "numeric": True},
            {"label": _("Interval"), "numeric": True},
            {"label": _("Cost per 1,000"), "numeric": True},
        ],
        "rows": [[row.candidate.name, row.primary.text, row.primary.range, row.cost.text] for row in rows],
    }


def _whiskers(points: Sequence[tuple[Any, Any, Any]]) -> dict[str, Any]:
    """Asymmetric error bars; a point without an interval has none."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if high is None else high - value for value, _low, high in points],
        "arrayminus": [0 if low is None else value - low for value, low, _high in points],
    }


def _vertical(at: float, *, dash: str = "dot") -> dict[str, Any]:
    return {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": {"dash": dash}}


def _role(row: BoardRow) -> str:
    return "recommended" if row.recommended else "reference" if row.reference else ""


def _n_range(rows: Sequence[Mapping[str, Any]]) -> str:
    numbers = sorted({int(row["n"]) for row in rows if row["n"] is not None})
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}" if numbers else "0"


def _difference_finding(found: Sequence[Mapping[str, Any]], reference: str, label: str) -> str:
    best = found[0]
    words = {
        "candidate": best["candidate"],
        "reference": reference,
        "metric": label,
        "difference": number_text(abs(best["difference"]), 3),
    }
    if best["difference"] > 0:
        return _("%(candidate)s is %(difference)s %(metric)s above %(reference)s") % words
    if len(found) == 1:
        return _("%(candidate)s is %(difference)s %(metric)s below %(reference)s") % words
    return _("The closest, %(candidate)s, is %(difference)s %(metric)s below %(reference)s") % words


def _cost_finding(rows: Sequence[BoardRow], label: str) -> str:
    best = max(rows, key=lambda row: row.primary.value or 0.0)
    cheaper = [row for row in rows if (row.cost.value or 0) < (best.cost.value or 0)]
    words = {
        "best": best.candidate.name,
        "score": best.primary.text,
        "metric": label,
        "cost": cost_text(best.cost.value or 0),
    }
    if not cheaper:
        return _("%(best)s has the highest %(metric)s and is the cheapest") % words
    rival = max(cheaper, key=lambda row: row.primary.value or 0.0)
    words |= {"rival": rival.candidate.name, "rival_score": rival.primary.text}
    return (
        _("%(best)s reaches %(score)s at %(cost)s per 1,000; the best cheaper one, %(rival)s, %(rival_score)s") % words
    )
