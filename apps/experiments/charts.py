"""The charts of a dataset version as Plotly figures in plain values; colours and fonts are the theme's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.core.formats import count_text, percent_text

MOST_LABELS = 20


@dataclass(frozen=True)
class Chart:
    """A figure with its finding as the title, and the same values as a table."""

    title: str
    subtitle: str
    figure: dict[str, Any]
    table: dict[str, Any]


def length_chart(found: Mapping[str, Any], *, what: str, unit: str) -> Chart | None:
    """How long texts are. `found` is a histogram as the intake engine makes it; None when it is empty."""
    counts, edges = list(found.get("counts", [])), list(found.get("edges", []))
    if not counts:
        return None
    ranges = [_span(edges, place) for place in range(len(counts))]
    return Chart(
        title=_("%(what)s: half have at most %(p50)s %(unit)s, 95 %% at most %(p95)s")
        % {"what": what, "p50": count_text(found["p50"]), "p95": count_text(found["p95"]), "unit": unit},
        subtitle=_("Rows by length in %(unit)s; the longest has %(max)s")
        % {"unit": unit, "max": count_text(found["max"])},
        figure={
            "data": [
                {
                    "type": "bar",
                    "x": [(edges[place] + edges[place + 1]) / 2 for place in range(len(counts))],
                    "y": counts,
                    "width": [edges[place + 1] - edges[place] for place in range(len(counts))],
                    "name": what,
                    "hovertext": ranges,
                    "hovertemplate": "%{hovertext}: %{y}<extra></extra>",
                }
            ],
            "layout": {
                "xaxis": {"title": {"text": _("Length in %(unit)s") % {"unit": unit}}},
                "yaxis": {"title": {"text": _("Rows")}, "rangemode": "tozero"},
                "showlegend": False,
            },
        },
        table={
            "columns": [{"label": _("Length in %(unit)s") % {"unit": unit}}, {"label": _("Rows"), "numeric": True}],
            "rows": [[span, count_text(count)] for span, count in zip(ranges, counts, strict=True)],
        },
    )


def _span(edges: list[int], place: int) -> str:
    first, last = edges[place], edges[place + 1] - 1
    return count_text(first) if first == last else f"{count_text(first)}–{count_text(last)}"


def label_chart(labels: Mapping[str, int]) -> Chart | None:
    """How often each answer occurs, the most frequent first; None where answers are no labels."""
    if not labels:
        return None
    ordered = sorted(labels.items(), key=lambda item: -item[1])
    total = sum(labels.values())
    shown = ordered[:MOST_LABELS]
    rest = sum(count for _label, count in ordered[MOST_LABELS:])
    if rest:
        shown.append((_("others"), rest))
    return Chart(
        title=_("%(label)s is the most frequent of %(n)s labels: %(share)s of the rows")
        % {"label": ordered[0][0], "n": len(ordered), "share": percent_text(ordered[0][1] / total, 0)},
        subtitle=_("Rows by expected answer, all splits together"),
        figure={
            "data": [
                {
                    "type": "bar",
                    "orientation": "h",
                    "x": [count for _label, count in reversed(shown)],
                    "y": [label for label, _count in reversed(shown)],
                    "name": _("Rows"),
                }
            ],
            "layout": {
                "xaxis": {"title": {"text": _("Rows")}, "rangemode": "tozero"},
                "yaxis": {"automargin": True, "type": "category"},
                "showlegend": False,
            },
        },
        table={
            "columns": [
                {"label": _("Label")},
                {"label": _("Rows"), "numeric": True},
                {"label": _("Share"), "numeric": True},
            ],
            "rows": [[label, count_text(count), percent_text(count / total)] for label, count in ordered],
        },
    )
