"""Whether an interrupted run ended as an uninterrupted one did."""

from collections.abc import Iterator
from typing import Any

Report = dict[str, Any]


def differences(expected: Report, actual: Report) -> list[str]:
    """Sentences about outputs, scores, intervals and the conclusion that differ. Latency, seconds and cost may."""
    return [
        f"{name}: {old!r} became {new!r}"
        for name, old, new in _pairs(dict(_figures(expected)), dict(_figures(actual)))
        if old != new
    ]


def _pairs(left: dict[str, Any], right: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(left.keys() | right.keys()):
        yield name, left.get(name), right.get(name)


def _figures(report: Report) -> Iterator[tuple[str, Any]]:
    yield "conclusion.kind", report["conclusion"]["kind"]
    yield "examples", report["examples"]
    for row in report["candidates"]:
        for output in row["outputs"]:
            key = f"{row['name']} / {output['example']} / {output['repeat']}"
            yield key, (output["text"], output["valid"], output["error"])
        for metric, value in row["metrics"].items():
            yield f"{row['name']} / {metric}", [value[part] for part in ("value", "low", "high", "n")]
    for item in report["comparisons"]:
        parts = ("difference", "low", "high", "p", "p_adjusted")
        yield f"{item['metric']}: {item['candidate']} − {item['reference']}", [item[part] for part in parts]
