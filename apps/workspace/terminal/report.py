"""A report as tables for a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from apps.core.formats import money_text
from apps.workspace.terminal.following import span_text

METRIC_LABELS = {"field_f1": "Field F1", "exact_match": "Exact match", "valid_rate": "Valid JSON"}


def print_report(report: dict[str, Any], console: Console) -> None:
    """Everything that the page shows: candidates, paired differences, training, conclusion."""
    confidence = f"{100 * (1 - report['experiment']['alpha']):g} % interval"
    console.print()
    console.print(report["experiment"]["name"], style="bold")
    console.print(_candidates(report, confidence))
    console.print(_differences(report, confidence))
    _print_training(report, console)
    console.print()
    console.print(report["conclusion"]["text"], style="bold", highlight=False)
    for note in report["conclusion"].get("notes", []):
        console.print(f"Note: {note}", highlight=False)


def _candidates(report: dict[str, Any], confidence: str) -> Table:
    n = report["dataset"]["n"]["test"]
    table = Table(
        title=f"Candidates on the locked test ({n} examples; estimate and {confidence})", title_justify="left"
    )
    table.add_column("Candidate")
    for name in report["experiment"]["metrics"]:
        table.add_column(METRIC_LABELS.get(name, name), justify="right")
    for heading in ("n", "USD per 1,000", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for row in report["candidates"]:
        mark = " (reference)" if row["name"] == report["experiment"]["reference"] else ""
        figures = [_estimate(row["metrics"].get(name)) for name in report["experiment"]["metrics"]]
        primary = row["metrics"].get(report["experiment"]["primary_metric"]) or {}
        table.add_row(
            row["name"] + mark + (" [always the same answer]" if row["constant_output"] else ""),
            *figures,
            str(primary.get("n", "")),
            _cost(row),
            _latency(row["latency_ms"], "p50"),
            _latency(row["latency_ms"], "p95"),
        )
    return table


def _estimate(metric: dict[str, Any] | None) -> str:
    if not metric or metric["value"] is None:
        return "–"
    return f"{metric['value']:.3f}\n[{metric['low']:.3f}, {metric['high']:.3f}]"


def _cost(row: dict[str, Any]) -> str:
    cost = row.get("cost")
    if not cost or cost["value"] is None:
        return "–"
    value, low, high = (money_text(round(cost[key])) for key in ("value", "low", "high"))
    return f"{value}{' assumed' if row['cost_assumed'] else ''}\n[{low}, {high}]"


def _latency(latency: dict[str, Any], name: str) -> str:
    if latency[name] is None:
        return "–"
    low, high = latency.get(f"{name}_low"), latency.get(f"{name}_high")
    return f"{latency[name]:,.1f}" + (f"\n[{low:,.1f}, {high:,.1f}]" if low is not None and high is not None else "")


def _differences(report: dict[str, Any], confidence: str) -> Table:
    table = Table(title=f"Paired differences (candidate − reference, {confidence})", title_justify="left")
    for heading in ("Metric", "Candidate", "Difference", "Interval", "p", "adjusted", "n", "Test"):
        table.add_column(heading, justify="left" if heading in {"Metric", "Candidate", "Test"} else "right")
    for item in report["comparisons"]:
        if item["difference"] is None:
            continue
        adjusted = item["p_adjusted"]
        how = "Holm" if adjusted is not None else "BH"
        value = adjusted if adjusted is not None else item.get("p_bh")
        table.add_row(
            METRIC_LABELS.get(item["metric"], item["metric"]),
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
        console.print(
            f"Training: {training['examples']} examples, {training['epochs']} epochs, {span_text(training['seconds'])},"
            f" {training['tokens_per_second']:.0f} tokens/s"
            f" ({training['trained_tokens_per_second']:.0f} trained tokens/s).",
            highlight=False,
        )
    phases = ", ".join(f"{name} {span_text(value)}" for name, value in seconds.items() if name != "total")
    console.print(f"Phases: {phases}. Total {span_text(seconds.get('total'))}.", highlight=False)
    if report["memory_mib"]:
        console.print(
            f"Peak memory of all processes (sum of PSS): {report['memory_mib']['peak_pss']:,.0f} MiB.", highlight=False
        )
