"""Columns of the tables of an experiment."""

from typing import Any

from django.utils.translation import gettext as _

from apps.evaluation.figures import metric_help, metric_label
from apps.evaluation.selectors.board import Board
from apps.experiments.models import Experiment

Columns = list[dict[str, Any]]


def list_columns() -> Columns:
    return [
        {"label": _("Question"), "sort": "name"},
        {"label": _("Conclusion")},
        {"label": _("Best candidate")},
        {"label": _("n"), "numeric": True, "sort": "n"},
        {"label": _("Cost"), "unit": "USD", "numeric": True},
        {"label": _("State"), "sort": "state"},
        {"label": _("Asked"), "sort": "asked"},
    ]


def board_columns(board: Board, level: str) -> Columns:
    primary = metric_label(board.primary, board.answer)
    interval = _("Below each figure: its %(level)s %% interval.") % {"level": level}
    metrics = [
        {"label": metric_label(name, board.answer), "numeric": True}
        | ({"help": f"{metric_help(name, board.answer)} {interval}"} if _has_tip(name, board) else {})
        for name in (board.primary, *board.other_metrics)
    ]
    return [
        {"label": _("Candidate")},
        metrics[0],
        {
            "label": _("Interval of %(metric)s, 0 to 1") % {"metric": primary},
            "hidden_label": True,
        },
        *metrics[1:],
        {
            "label": _("Cost per 1,000"),
            "unit": "USD",
            "numeric": True,
            "help": _("Mean cost of a test request times 1,000. %(interval)s") % {"interval": interval},
        },
        _latency_column("p50", _("Half of the answers took no longer.")),
        _latency_column("p95", _("95 of 100 answers took no longer.")),
    ]


def _has_tip(name: str, board: Board) -> bool:
    """Tips cost width that the latencies need: a rate of valid answers does without, as its name says what it counts;
    and of four metrics all but the first."""
    return name == board.primary or (name != "valid_rate" and len(board.other_metrics) < 3)


def _latency_column(label: str, share: str) -> dict[str, Any]:
    """With the conditions, which the report has in figures: without them two latencies cannot be compared."""
    conditions = _(
        "The time of a call while others ran beside it and shared its batch; waiting in the model's queue and opening"
        " the model are left out. A free baseline answers without a network."
    )
    return {"label": label, "unit": "ms", "numeric": True, "help": f"{share} {conditions}"}


def comparison_columns() -> Columns:
    return [
        {"label": _("Candidate")},
        {"label": _("Difference"), "numeric": True, "help": _("Candidate − reference, on the same examples.")},
        {"label": _("Interval"), "numeric": True},
        {"label": "p", "numeric": True},
        {
            "label": _("Adjusted p"),
            "numeric": True,
            "help": _("Holm over every comparison that was declared before the first test score."),
        },
        {"label": _("n"), "numeric": True},
        {"label": _("What it says")},
    ]


def exploratory_columns() -> Columns:
    return [
        {"label": _("Metric")},
        {"label": _("Candidate")},
        {"label": _("Difference"), "numeric": True},
        {"label": _("Interval"), "numeric": True},
        {"label": "p", "numeric": True},
        {
            "label": _("Adjusted p"),
            "numeric": True,
            "help": _("Benjamini–Hochberg over all exploratory comparisons."),
        },
        {"label": _("n"), "numeric": True},
        {"label": _("Test")},
    ]


def trial_columns(experiment: Experiment) -> Columns:
    label = metric_label(experiment.primary_metric, experiment.answer)
    return [
        {"label": _("Trial")},
        {"label": label, "numeric": True, "help": _("Below it: its interval.")},
        {"label": _("n"), "numeric": True},
        {"label": _("State")},
    ]
