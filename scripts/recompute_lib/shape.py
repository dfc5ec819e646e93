"""The shape that a `llmopt.report/1` report must have: keys, names, pairs, outputs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from scripts.recompute_lib.formats import format_of

Json = Mapping[str, Any]

KEYS: dict[str, tuple[str, ...]] = {
    "": (
        "schema",
        "experiment",
        "dataset",
        "examples",
        "candidates",
        "comparisons",
        "conclusion",
        "training",
        "seconds",
        "memory_mib",
        "bootstrap",
        "versions",
    ),
    "experiment": ("uid", "name", "primary_metric", "margin", "alpha", "reference", "family"),
    "dataset": ("version_hash", "split_seed", "n"),
    "dataset.n": ("train", "validation", "test"),
    "conclusion": ("kind", "recommended", "text"),
    "bootstrap": ("resamples", "generator", "seed"),
    "memory_mib": ("peak_pss",),
}
CANDIDATE_KEYS = (
    "name",
    "kind",
    "model",
    "prompt",
    "metrics",
    "cost_nanousd_per_1000",
    "cost_assumed",
    "latency_ms",
    "outputs",
)
METRIC_KEYS = ("value", "low", "high", "n", "method")
OUTPUT_KEYS = ("example", "repeat", "text", "valid", "error")
COMPARISON_KEYS = ("metric", "candidate", "reference", "difference", "low", "high", "p", "p_adjusted", "test")
TRAINING_KEYS = ("examples", "epochs", "tokens_per_second", "seconds")
CANDIDATE_KINDS = ("baseline", "prompted", "tuned", "commercial")
LEAST_RESAMPLES = 9999


def missing(where: str, value: object, keys: Sequence[str]) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{where or 'report'}: is missing or not an object"]
    return [f"{where}.{key}".lstrip(".") + ": is missing" for key in keys if key not in value]


def repeated(names: Sequence[object], what: str) -> list[str]:
    return [f"{what} {name!r} occurs {count} times" for name, count in Counter(names).items() if count > 1]


def outline_problems(report: Json) -> list[str]:
    """What keeps the figures from being computed at all: absent keys, names that point nowhere."""
    problems: list[str] = []
    for path, keys in KEYS.items():
        place: Any = report
        for step in path.split(".") if path else ():
            place = place.get(step) if isinstance(place, Mapping) else None
        problems += missing(path, place, keys)
    if problems:
        return problems
    for number, candidate in enumerate(report["candidates"]):
        problems += candidate_outline(f"candidates[{number}]", candidate)
    for number, row in enumerate(report["comparisons"]):
        problems += missing(f"comparisons[{number}]", row, COMPARISON_KEYS)
    for number, example in enumerate(report["examples"]):
        problems += missing(f"examples[{number}]", example, ("id", "input", "expected"))
    return problems


def candidate_outline(where: str, candidate: Json) -> list[str]:
    problems = missing(where, candidate, CANDIDATE_KEYS)
    if problems:
        return problems
    for name, metric in candidate["metrics"].items():
        problems += missing(f"{where}.metrics.{name}", metric, METRIC_KEYS)
    problems += missing(f"{where}.latency_ms", candidate["latency_ms"], ("p50", "p95"))
    for number, output in enumerate(candidate["outputs"]):
        problems += missing(f"{where}.outputs[{number}]", output, OUTPUT_KEYS)
    return problems


def content_problems(report: Json) -> list[str]:
    """What contradicts the contract although every key is there."""
    problems = [] if report["schema"] == "llmopt.report/1" else [f"schema: is {report['schema']!r}"]
    try:
        known = format_of(report).metrics
    except (ValueError, KeyError, TypeError) as error:
        return [*problems, f"experiment.answer: {error}"]
    # The metrics that the experiment names; a report without a list of them carries all of its format.
    named = tuple(report["experiment"].get("metrics", known))
    problems += [f"experiment.metrics: {name!r} is unknown" for name in named if name not in known]
    problems += setup_problems(report, named)
    problems += repeated([candidate["name"] for candidate in report["candidates"]], "candidates: name")
    problems += repeated([example["id"] for example in report["examples"]], "examples: id")
    for candidate in report["candidates"]:
        problems += candidate_problems(candidate, [example["id"] for example in report["examples"]], named)
    return problems + comparison_problems(report, named)


def setup_problems(report: Json, metrics: Sequence[str]) -> list[str]:
    problems: list[str] = []
    experiment, bootstrap, n = report["experiment"], report["bootstrap"], len(report["examples"])
    names = {candidate["name"] for candidate in report["candidates"]}
    named = {experiment["reference"], *(name for pair in experiment["family"] for name in pair)}
    problems += [f"experiment: {name!r} is no candidate" for name in sorted(named - names)]
    problems += repeated([tuple(pair) for pair in experiment["family"]], "experiment.family: pair")
    if experiment["primary_metric"] not in metrics:
        problems.append(f"experiment.primary_metric: {experiment['primary_metric']!r} is unknown")
    if report["dataset"]["n"]["test"] != n:
        problems.append(f"dataset.n.test: is {report['dataset']['n']['test']}, there are {n} examples")
    if bootstrap.get("n", n) != n:
        problems.append(f"bootstrap.n: is {bootstrap['n']}, there are {n} examples")
    if bootstrap["resamples"] < LEAST_RESAMPLES:
        problems.append(f"bootstrap.resamples: is {bootstrap['resamples']}, at least {LEAST_RESAMPLES} are asked for")
    if not str(bootstrap["generator"]).endswith("PCG64"):
        problems.append(f"bootstrap.generator: is {bootstrap['generator']!r}, not numpy's PCG64")
    if any(candidate["kind"] == "tuned" for candidate in report["candidates"]):
        problems += missing("training", report["training"], TRAINING_KEYS)
    return problems


def candidate_problems(candidate: Json, ids: Sequence[str], metrics: Sequence[str]) -> list[str]:
    where = f"candidate {candidate['name']!r}"
    problems: list[str] = []
    if candidate["kind"] not in CANDIDATE_KINDS:
        problems.append(f"{where}: kind {candidate['kind']!r} is unknown")
    for output in candidate["outputs"]:
        if output["error"] not in (None, "infrastructure"):
            problems.append(f"{where}: error {output['error']!r} of example {output['example']!r}")
    if candidate.get("state", "done") != "done":
        problems.append(f"{where}: has not ended ({candidate['state']}), so the report has no figures for it")
        return problems
    problems += [f"{where}: metric {name} is missing" for name in metrics if name not in candidate["metrics"]]
    found = Counter((output["example"], output["repeat"]) for output in candidate["outputs"])
    wanted = set(product(ids, sorted({repeat for _, repeat in found} | {0})))
    for key, count in found.items():
        if key not in wanted or count > 1:
            problems.append(f"{where}: {count} outputs for example {key[0]!r}, repeat {key[1]}")
    problems += [f"{where}: no output for example {key[0]!r}, repeat {key[1]}" for key in sorted(wanted - set(found))]
    return problems


def comparison_problems(report: Json, metrics: Sequence[str]) -> list[str]:
    primary = report["experiment"]["primary_metric"]
    family = {tuple(pair) for pair in report["experiment"]["family"]}
    names = {candidate["name"] for candidate in report["candidates"]}
    keys = [(row["metric"], row["candidate"], row["reference"]) for row in report["comparisons"]]
    problems = repeated(keys, "comparisons: (metric, candidate, reference)")
    for pair in sorted(family - {key[1:] for key in keys if key[0] == primary}):
        problems.append(f"comparisons: the pair {pair} of the family is missing for {primary}")
    for key, row in zip(keys, report["comparisons"], strict=True):
        if key[0] not in metrics or not {key[1], key[2]} <= names:
            problems.append(f"comparison {key}: names an unknown metric or candidate")
        decided = key[0] == primary and key[1:] in family
        if decided and row.get("exploratory", False) is not False:
            problems.append(f"comparison {key}: belongs to the family and is marked exploratory")
        if not decided and (row.get("exploratory") is not True or row["p_adjusted"] is not None):
            problems.append(f"comparison {key}: outside the family it needs exploratory: true and p_adjusted: null")
    return problems
