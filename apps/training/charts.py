"""The charts of a training run as Plotly figures in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.core.formats import number_text
from apps.training.selectors import Series

TABLE_ROWS = 60


@dataclass(frozen=True)
class Chart:
    """A figure with its finding as the title, and the same values as a table."""

    title: str
    subtitle: str
    figure: dict[str, Any]
    table: dict[str, Any]


@dataclass(frozen=True)
class Line:
    label: str
    series: Series
    role: str = ""
    markers: bool = False


def line_chart(lines: list[Line], *, title: str, subtitle: str, unit: str, top: float | None = None) -> Chart | None:
    """Lines over steps; None while none of them has a point."""
    shown = [line for line in lines if line.series.steps]
    if not shown:
        return None
    yaxis: dict[str, Any] = {"title": {"text": unit}, "rangemode": "tozero"}
    if top is not None:
        yaxis["range"] = [0, top]
    every = max(line.series.every for line in shown)
    if every > 1:
        subtitle += " " + _("Each point is the mean of %(n)d steps.") % {"n": every}
    return Chart(
        title=title,
        subtitle=subtitle,
        figure={
            "data": [_trace(line) for line in shown],
            "layout": {"xaxis": {"title": {"text": _("Step")}, "rangemode": "tozero"}, "yaxis": yaxis},
        },
        table=_table(shown),
    )


def _trace(line: Line) -> dict[str, Any]:
    return {
        "type": "scatter",
        # A single point has no line to be seen.
        "mode": "lines+markers" if line.markers or len(line.series.steps) < 3 else "lines",
        "name": line.label,
        "x": line.series.steps,
        "y": line.series.values,
        "meta": {"role": line.role} if line.role else {},
        "hovertemplate": "%{x}: %{y:.4g}<extra>" + line.label + "</extra>",
    }


def _table(lines: list[Line]) -> dict[str, Any]:
    """Every step that has a value; a long run is thinned to TABLE_ROWS, first and last kept."""
    steps = sorted({step for line in lines for step in line.series.steps})
    if len(steps) > TABLE_ROWS:
        stride = (len(steps) - 1) / (TABLE_ROWS - 1)
        steps = [steps[round(index * stride)] for index in range(TABLE_ROWS)]
    values = [dict(zip(line.series.steps, line.series.values, strict=True)) for line in lines]
    return {
        "columns": [{"label": _("Step"), "numeric": True}, *({"label": line.label, "numeric": True} for line in lines)],
        "rows": [[step, *(number_text(found.get(step), 4) for found in values)] for step in steps],
    }


def validation_size(spec: Mapping[str, Any]) -> str:
    """How many validation rows stand behind a point, as the run's spec says."""
    during, last = spec.get("evaluate_rows"), spec.get("final_evaluate_rows")
    if not during:
        return ""
    if last and last != during:
        return _("Validation: n = %(during)d rows, n = %(last)d at the end.") % {"during": during, "last": last}
    return _("Validation: n = %(during)d rows.") % {"during": during}


def token_loss_chart(train: Series, validation: Series, sizes: str = "") -> Chart | None:
    return line_chart(
        [Line(_("Training"), train), Line(_("Validation"), validation, role="recommended", markers=True)],
        title=_change(_("Loss per trained token"), train),
        subtitle=_join(
            _("Sum of weighted losses over the sum of weights, of each batch and of the validation rows."), sizes
        ),
        unit=_("Loss (nats per token)"),
    )


def answer_loss_chart(validation: Series, sizes: str = "") -> Chart | None:
    return line_chart(
        [Line(_("Validation"), validation, role="recommended", markers=True)],
        title=_change(_("Validation loss per answer"), validation),
        subtitle=_join(_("Mean over validation rows of the loss summed over the tokens of the answer."), sizes),
        unit=_("Loss (nats per answer)"),
    )


def accuracy_chart(tokens: Series, answers: Series, sizes: str = "") -> Chart | None:
    title = _("No accuracy yet")
    if answers.last is not None:
        title = _("%(share)s %% of validation answers would be predicted token by token without an error") % {
            "share": number_text(100 * answers.last, 1)
        }
    return line_chart(
        [
            Line(_("Tokens"), tokens, markers=True),
            Line(_("Whole answers"), answers, role="recommended", markers=True),
        ],
        title=title,
        subtitle=_join(
            _("Share of validation tokens, and of whole answers, whose most likely token is the right one."), sizes
        ),
        unit=_("Share (0 to 1)"),
        top=1.0,
    )


def rate_chart(rate: Series) -> Chart | None:
    return line_chart(
        [Line(_("Trained tokens"), rate)],
        title=_now(_("%(value)s trained tokens a second at the last step"), rate),
        subtitle=_("Tokens that carry a loss; prompt tokens and padding are not counted."),
        unit=_("Tokens per second"),
    )


def memory_chart(memory: Series) -> Chart | None:
    return line_chart(
        [Line(_("Memory"), memory)],
        title=_now(_("%(value)s MiB resident at the last step"), memory),
        subtitle=_("Resident memory of the training process."),
        unit=_("Memory (MiB)"),
    )


def _join(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _now(text: str, series: Series) -> str:
    return text % {"value": number_text(series.last, 0)}


def _change(what: str, series: Series) -> str:
    """The finding: from where to where."""
    if not series.values:
        return what
    words = {"what": what, "first": number_text(series.values[0], 2), "last": number_text(series.values[-1], 2)}
    if len(series.values) == 1:
        return _("%(what)s starts at %(first)s") % words
    if series.values[-1] < series.values[0]:
        return _("%(what)s fell from %(first)s to %(last)s") % words
    return _("%(what)s went from %(first)s to %(last)s") % words
