"""The report in a terminal: every name and every warning is there, whatever characters it is made of."""

import io
from typing import Any

from apps.workspace.terminal.console import terminal_console
from apps.workspace.terminal.report import print_report


def candidate(name: str, *, constant: bool = False) -> dict[str, Any]:
    metric = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 8}
    return {
        "name": name,
        "metrics": {"field_f1": metric},
        "cost": {"value": 1000.0, "low": 900.0, "high": 1100.0},
        "cost_assumed": True,
        "latency_ms": {"p50": 10.0, "p95": 20.0},
        "constant_output": constant,
    }


def printed(*candidates: dict[str, Any], text: str = "good is the one to ship.", notes: tuple[str, ...] = ()) -> str:
    output = io.StringIO()
    report = {
        "experiment": {
            **{"name": "Addresses [draft]", "alpha": 0.05, "metrics": ["field_f1"], "primary_metric": "field_f1"},
            "reference": candidates[0]["name"],
        },
        "dataset": {"n": {"test": 8}},
        "candidates": candidates,
        "comparisons": [
            {
                **{"metric": "field_f1", "candidate": item["name"], "difference": -0.1, "low": -0.2, "high": -0.05},
                **{"p": 0.01, "p_adjusted": 0.02, "n": 8, "test": "bootstrap"},
            }
            for item in candidates[1:]
        ],
        "conclusion": {"text": text, "notes": notes},
        "training": {
            **{"seconds": 61.0, "examples": 40, "epochs": 2},
            **{"tokens_per_second": 100.0, "trained_tokens_per_second": 50.0},
        },
        "seconds": {"train": 61.0, "total": 90.0},
        "memory_mib": {"peak_pss": 1234.0},
    }
    print_report(report, terminal_console(output))
    return output.getvalue()


def test_a_model_that_always_gives_the_same_answer_is_called_so() -> None:
    said = printed(candidate("good"), candidate("majority", constant=True))
    rows = [line for line in said.splitlines() if "always the same answer" in line]
    assert len(rows) == 1
    assert "majority" in rows[0]


def test_square_brackets_in_names_and_sentences_are_shown() -> None:
    said = printed(
        candidate("good"), candidate("tuned [red] v2"), text="Ship tuned [red] v2.", notes=("See [bold]n[/bold].",)
    )
    assert said.count("tuned [red] v2") == 3
    assert "Addresses [draft]" in said
    assert "See [bold]n[/bold]." in said
