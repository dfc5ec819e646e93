"""A report as tables for a terminal."""

from typing import Any

from django.utils.translation import gettext as _
from rich.console import Console, JustifyMethod
from rich.table import Table

from apps.core.formats import money_text, number_text
from apps.evaluation.figures import answer_of, metric_label
from apps.workspace.quickstart.steps import PHASES
from apps.workspace.terminal.following import span_text


def print_report(report: dict[str, Any], console: Console) -> None:
    """Everything that the page shows: candidates, paired differences, training, conclusion."""
    confidence = _("%(level)s %% interval") % {"level": f"{100 * (1 - report['experiment']['alpha']):g}"}
    console.print()
    console.print(report["experiment"]["name"], style="bold")
    console.print(_candidates(report, confidence))
    console.print(_differences(report, confidence))
    _print_training(report, console)
    console.print()
    # The document's own sentences: frozen with it, in English.
    console.print(report["conclusion"]["text"], style="bold", highlight=False)
    for note in [*report["conclusion"].get("notes", []), *report.get("notes", [])]:
        console.print(_("Note: %(note)s") % {"note": note}, highlight=False)


def _candidates(report: dict[str, Any], confidence: str) -> Table:
    title = _("Candidates on the locked test (%(n)d examples; estimate and %(confidence)s)") % {
        "n": report["dataset"]["n"]["test"],
        "confidence": confidence,
    }
    table = Table(title=title, title_justify="left")
    table.add_column(_("Candidate"))
    for name in report["experiment"]["metrics"]:
        table.add_column(metric_label(name, answer_of(report)), justify="right")
    for heading in ("n", _("USD per 1,000"), "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for row in report["candidates"]:
        figures = [_estimate(row["metrics"].get(name)) for name in report["experiment"]["metrics"]]
        primary = row["metrics"].get(report["experiment"]["primary_metric"]) or {}
        table.add_row(
            _candidate(row, report["experiment"]["reference"]),
            *figures,
            str(primary.get("n", "")),
            _cost(row),
            _latency(row["latency_ms"], "p50"),
            _latency(row["latency_ms"], "p95"),
        )
    return table


def _candidate(row: dict[str, Any], reference: str) -> str:
    marks = [_("(reference)")] if row["name"] == reference else []
    if row["constant_output"]:
        marks.append(_("(always the same answer)"))
    return " ".join([row["name"], *marks])


def _estimate(metric: dict[str, Any] | None) -> str:
    if not metric or metric["value"] is None:
        return "–"
    return f"{metric['value']:.3f}\n[{metric['low']:.3f}, {metric['high']:.3f}]"


def _cost(row: dict[str, Any]) -> str:
    cost = row.get("cost")
    if not cost or cost["value"] is None:
        return "–"
    value, low, high = (money_text(round(cost[key])) for key in ("value", "low", "high"))
    shown = _("%(cost)s assumed") % {"cost": value} if row["cost_assumed"] else value
    return f"{shown}\n[{low}, {high}]"


def _latency(latency: dict[str, Any], name: str) -> str:
    if latency[name] is None:
        return "–"
    low, high = latency.get(f"{name}_low"), latency.get(f"{name}_high")
    return f"{latency[name]:,.1f}" + (f"\n[{low:,.1f}, {high:,.1f}]" if low is not None and high is not None else "")


def _differences(report: dict[str, Any], confidence: str) -> Table:
    title = _("Paired differences (candidate − reference, %(confidence)s)") % {"confidence": confidence}
    table = Table(title=title, title_justify="left")
    headings: list[tuple[str, JustifyMethod]] = [
        (_("Metric"), "left"),
        (_("Candidate"), "left"),
        (_("Difference"), "right"),
        (_("Interval"), "right"),
        ("p", "right"),
        (_("adjusted"), "right"),
        ("n", "right"),
        (_("Test"), "left"),
    ]
    for heading, justify in headings:
        table.add_column(heading, justify=justify)
    for item in report["comparisons"]:
        if item["difference"] is None:
            continue
        adjusted = item["p_adjusted"]
        how = "Holm" if adjusted is not None else "BH"
        value = adjusted if adjusted is not None else item.get("p_bh")
        table.add_row(
            metric_label(item["metric"], answer_of(report)),
            item["candidate"],
            f"{item['difference']:+.3f}",
            f"[{item['low']:+.3f}, {item['high']:+.3f}]",
            f"{item['p']:.2g}",
            f"{how} {value:.2g}" if value is not None else "–",
            str(item.get("n", "")),
            item["test"],
        )
    return table


def _print_training(report: dict[str, Any], console: Console) -> None:
    training, seconds = report["training"], report["seconds"]
    if training.get("seconds") is not None:
        said = _(
            "Training: %(examples)s examples, %(epochs)s epochs, %(span)s, %(rate)d tokens/s"
            " (%(trained_rate)d trained tokens/s)."
        ) % {
            "examples": training["examples"],
            "epochs": training["epochs"],
            "span": span_text(training["seconds"]),
            "rate": round(training["tokens_per_second"]),
            "trained_rate": round(training["trained_tokens_per_second"]),
        }
        console.print(said, highlight=False)
    phases = ", ".join(
        f"{PHASES.get(name, name)} {span_text(value)}" for name, value in seconds.items() if name != "total"
    )
    said = _("Phases: %(phases)s. Total %(total)s.") % {"phases": phases, "total": span_text(seconds.get("total"))}
    console.print(said, highlight=False)
    if report["memory_mib"].get("peak_pss") is not None:
        peak = {"peak": number_text(report["memory_mib"]["peak_pss"], 0)}
        console.print(_("Peak memory of all processes (sum of PSS): %(peak)s MiB.") % peak, highlight=False)
