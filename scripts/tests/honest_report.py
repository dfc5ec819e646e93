"""A small report put together from the definitions with loops and fractions, and the counts made by hand behind it."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from scripts.recompute_lib import formulas

SEED = 5
RESAMPLES = 9999

# Five answers to the same kind of question: what is common, predicted, expected, whether valid, whether exact.
HAND_COUNTED = [
    ('{"number":"12","street":"Oak St."}', '{"number": "12", "street": "Oak St."}', (2, 2, 2), True, True),
    ('{"number":"12","street":"Oak St."}', '{"street":"Oak  St.","number":"21"}', (1, 2, 2), True, False),
    ('{"city":"Rome"}', "Rome", (0, 0, 1), False, False),
    ('{"a":"x"}', '{"a":"x","b":"y"}', (1, 2, 1), True, False),
    ("{}", "{}", (0, 0, 0), True, True),
]


EXAMPLES = [gold for gold, *_ in HAND_COUNTED] + ['{"city":"Bonn"}', '{"zip":"1"}', '{"a":"q","b":"r"}']
TEXTS = {
    "good": [*EXAMPLES[:5], '{"city":"Bonn"}', "{", '{"a":"q","b":"r"}'],
    "plain": [text for _, text, *_ in HAND_COUNTED] + [None, '{"zip":1}', '{"b":"r","a":"s"}'],
    "constant": ['{"city":"Rome"}'] * 8,
}
COSTS = {"good": [900, 1000, 1100, 1000, 900, 1000, 1100, 1000], "plain": [300] * 8, "constant": [0] * 8}
# Counted by hand: (common, predicted, expected) of each unit; None is a failure of infrastructure.
COUNTS: dict[str, list[tuple[int, int, int] | None]] = {
    "good": [(2, 2, 2), (2, 2, 2), (1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1), (0, 0, 1), (2, 2, 2)],
    "plain": [(2, 2, 2), (1, 2, 2), (0, 0, 1), (1, 2, 1), (0, 0, 0), None, (1, 1, 1), (1, 2, 2)],
    "constant": [(0, 1, 2), (0, 1, 2), (1, 1, 1), (0, 1, 1), (0, 1, 0), (0, 1, 1), (0, 1, 1), (0, 1, 2)],
}
EXACT = {
    "good": [1, 1, 1, 1, 1, 1, 0, 1],
    "plain": [1, 0, 0, 0, 1, None, 1, 0],
    "constant": [0, 0, 1, 0, 0, 0, 0, 0],
}
VALID = {"good": [1, 1, 1, 1, 1, 1, 0, 1], "plain": [1, 1, 0, 1, 1, None, 1, 1], "constant": [1] * 8}


def f1(counts: list[Any], rows: Any) -> Fraction:
    kept = [counts[row] for row in rows if counts[row] is not None]
    bottom = sum(predicted + gold for _, predicted, gold in kept)
    return Fraction(2 * sum(common for common, *_ in kept), bottom) if bottom else Fraction(1)


def resampled() -> list[list[int]]:
    return np.random.Generator(np.random.PCG64(SEED)).integers(0, 8, size=(RESAMPLES, 8)).tolist()


def percentiles(values: list[Fraction | float]) -> dict[str, float]:
    ordered = sorted(float(value) for value in values)
    limits = []
    for share in (0.025, 0.975):
        place = share * (len(ordered) - 1)
        below, part = int(place), place - int(place)
        limits.append(ordered[below] + part * (ordered[below + 1] - ordered[below]))
    return {"low": limits[0], "high": limits[1]}


def metric(value: float, limits: dict[str, float], n: int, method: str) -> dict[str, Any]:
    return {"value": value, **limits, "n": n, "method": method}


def shares(marks: list[int | None]) -> dict[str, Any]:
    kept = [mark for mark in marks if mark is not None]
    low, high = proportion_confint(sum(kept), len(kept), alpha=0.05, method="wilson")
    return metric(sum(kept) / len(kept), {"low": float(low), "high": float(high)}, len(kept), "Wilson")


def settled(marks: list[Any], failed: Any) -> list[Any]:
    """The marks with the failure of infrastructure counted as given."""
    return [failed if mark is None else mark for mark in marks]


def corpus(counts: list[Any], draws: list[list[int]]) -> dict[str, Any]:
    n = sum(count is not None for count in counts)
    limits = percentiles([f1(counts, rows) for rows in draws])
    return metric(float(f1(counts, range(8))), limits, n, "bootstrap")


def metrics(name: str, draws: list[list[int]]) -> dict[str, Any]:
    found = {"field_f1": corpus(COUNTS[name], draws), "exact_match": shares(EXACT[name])}
    found["valid_rate"] = shares(VALID[name])
    if None in EXACT[name]:
        for case, mark, counts in (("worst_case", 0, (0, 0, 1)), ("best_case", 1, (1, 1, 1))):
            found["field_f1"][case] = corpus(settled(COUNTS[name], counts), draws)
            found["exact_match"][case] = shares(settled(EXACT[name], mark))
            found["valid_rate"][case] = shares(settled(VALID[name], mark))
    return found


def candidate(name: str, kind: str, draws: list[list[int]]) -> dict[str, Any]:
    outputs = [
        {
            "example": f"e{row}",
            "repeat": 0,
            "text": text,
            "valid": None if VALID[name][row] is None else bool(VALID[name][row]),
            "error": "infrastructure" if text is None else None,
            "latency_ms": None if text is None else 10.0 + row,
            "cost_nanousd": None if text is None else COSTS[name][row],
        }
        for row, text in enumerate(TEXTS[name])
    ]
    counts = COUNTS[name]
    n = sum(count is not None for count in counts)
    # The one priced unit that failed carries the price of the others of its candidate, so that means stay the same.
    cost = percentiles([Fraction(1000 * sum(COSTS[name][row] for row in rows), 8) for rows in draws])
    return {
        "name": name,
        "kind": kind,
        "model": "m",
        "prompt": "p",
        "metrics": metrics(name, draws),
        "cost_nanousd_per_1000": 1000.0 * sum(COSTS[name]) / 8,
        "cost": {"value": 1000.0 * sum(COSTS[name]) / 8, **cost, "n": n},
        "cost_assumed": False,
        # Of 10..17 the middle is 13.5; without 15 (the failure) it is 13, and the 95th percentile 16.7.
        "latency_ms": {"p50": 13.0, "p95": 16.7} if name == "plain" else {"p50": 13.5, "p95": 16.65},
        "constant_output": name == "constant",
        "outputs": outputs,
    }


def paired_f1(counts: list[Any], draws: list[list[int]]) -> dict[str, Any]:
    pairs = list(zip(counts, COUNTS["good"], strict=True))
    one = [None if None in pair else pair[0] for pair in pairs]
    two = [None if None in pair else pair[1] for pair in pairs]
    difference = f1(one, range(8)) - f1(two, range(8))
    drawn = [f1(one, rows) - f1(two, rows) for rows in draws]
    reached = sum(abs(value - difference) >= abs(difference) for value in drawn)
    n = 8 - one.count(None)
    return {"difference": float(difference), **percentiles(drawn), "p": (1 + reached) / (RESAMPLES + 1), "n": n}


def paired_share(marks: list[Any], others: list[Any]) -> dict[str, Any]:
    pairs = [pair for pair in zip(marks, others, strict=True) if None not in pair]
    b, c, n = pairs.count((1, 0)), pairs.count((0, 1)), len(pairs)
    low, high = formulas.tango(b, c, n, 0.05)
    p = min(1.0, sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c - 1)) if b + c else 1.0
    return {"difference": (b - c) / n, "low": low, "high": high, "p": p, "n": n}


def pair_row(kind: str, name: str, draws: list[list[int]]) -> dict[str, Any]:
    marks = {"field_f1": COUNTS, "exact_match": EXACT, "valid_rate": VALID}[kind]

    def paired(values: list[Any]) -> dict[str, Any]:
        return paired_f1(values, draws) if kind == "field_f1" else paired_share(values, marks["good"])

    row = {"metric": kind, "candidate": name, "reference": "good", "test": "as defined", **paired(marks[name])}
    if None in marks[name]:
        worst, best = ((0, 0, 1), (1, 1, 1)) if kind == "field_f1" else (0, 1)
        row |= {"worst_case": paired(settled(marks[name], worst)), "best_case": paired(settled(marks[name], best))}
    return row


def comparisons(draws: list[list[int]]) -> list[dict[str, Any]]:
    names = ("plain", "constant")
    decided = [pair_row("field_f1", name, draws) for name in names]
    explored = [pair_row(kind, name, draws) for kind in ("exact_match", "valid_rate") for name in names]
    for row, value in zip(decided, multipletests([row["p"] for row in decided], method="holm")[1], strict=True):
        row |= {"p_adjusted": float(value), "p_bh": None, "exploratory": False}
    for row, value in zip(explored, multipletests([row["p"] for row in explored], method="fdr_bh")[1], strict=True):
        row |= {"p_adjusted": None, "p_bh": float(value), "exploratory": True}
    return decided + explored


def honest_report() -> dict[str, Any]:
    draws = resampled()
    rows = comparisons(draws)
    plain = rows[0]
    text = "good is the one to ship: it leads plain by {:.3f} field F1 (95% interval {:.3f} to {:.3f}, n = 7)."
    return {
        "schema": "llmopt.report/1",
        "experiment": {
            "uid": "u",
            "name": "q",
            "primary_metric": "field_f1",
            "margin": 0.05,
            "alpha": 0.05,
            "reference": "good",
            "family": [["plain", "good"], ["constant", "good"]],
        },
        "dataset": {"version_hash": "h", "split_seed": 1, "n": {"train": 1, "validation": 1, "test": 8}},
        "examples": [{"id": f"e{row}", "input": "i", "expected": gold} for row, gold in enumerate(EXAMPLES)],
        "candidates": [
            candidate("constant", "baseline", draws),
            candidate("plain", "prompted", draws),
            candidate("good", "tuned", draws),
        ],
        "comparisons": rows,
        "conclusion": {
            "kind": "reference_best",
            "recommended": "good",
            "text": text.format(-plain["difference"], -plain["high"], -plain["low"]),
        },
        "training": {"examples": 1, "epochs": 1, "tokens_per_second": 1.0, "seconds": 1.0},
        "seconds": {"training": 1.0},
        "memory_mib": {"peak_pss": 1.0},
        "bootstrap": {"resamples": RESAMPLES, "generator": "numpy.random.PCG64", "seed": SEED},
        "versions": {"numpy": np.__version__},
    }
