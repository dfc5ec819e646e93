"""The report as JSON: its contract, and its figures recomputed from its own outputs."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from apps.evaluation.engine.facts import CandidateFacts, OutputFacts
from apps.evaluation.engine.report import build_report, is_final
from apps.evaluation.tests.made_reports import (
    CONSTANT,
    EXAMPLES,
    FEW_SHOT,
    SEED,
    TUNED,
    B,
    N,
    candidate,
    facts,
    named,
    noisy,
    report,
)


def test_the_report_has_the_contracts_keys_and_is_plain_json() -> None:
    built = report(TUNED, FEW_SHOT, CONSTANT, seconds={"train": 1.5}, versions={"python": "3.11"})
    assert json.loads(json.dumps(built, allow_nan=False)) == built
    assert built["schema"] == "llmopt.report/1"
    assert set(built) >= {
        *("experiment", "dataset", "examples", "candidates", "comparisons", "conclusion"),
        *("training", "seconds", "memory_mib", "bootstrap", "versions"),
    }
    assert built["dataset"]["n"] == {"train": 500, "validation": 100, "test": N}
    assert built["experiment"]["family"] == [["few shot", "tuned"], ["most frequent", "tuned"]]
    row = named(built["candidates"], name="tuned")
    assert set(row["metrics"]) == {"field_f1", "exact_match", "valid_rate"}
    assert all({"value", "low", "high", "n", "method"} <= set(metric) for metric in row["metrics"].values())
    assert set(row["outputs"][0]) >= {"example", "repeat", "text", "valid", "error"}
    assert built["bootstrap"] | {"resamples": B, "generator": "numpy.random.PCG64", "seed": SEED} == built["bootstrap"]


def recomputed_counts(row: dict[str, Any]) -> np.ndarray:
    """(true positives, predicted, gold, exact, valid) per example, by other code than the product's."""
    counts = []
    for output, example in zip(row["outputs"], EXAMPLES, strict=True):
        gold = set(json.loads(example.expected).items())
        try:
            predicted = set(json.loads(output["text"]).items())
            valid = True
        except ValueError:
            predicted, valid = set(), False
        counts.append([len(gold & predicted), len(predicted), len(gold), valid and gold == predicted, valid])
    return np.array(counts, dtype=float)


def test_every_figure_is_recomputed_from_the_outputs_bit_for_bit() -> None:
    built = report(TUNED, FEW_SHOT, CONSTANT)
    draws = np.random.Generator(np.random.PCG64(SEED)).integers(0, N, size=(B, N))
    values, replicates, counts = {}, {}, {}
    for row in built["candidates"]:
        counts[row["name"]] = own = recomputed_counts(row)
        total, drawn = own.sum(axis=0), own[draws].sum(axis=1)
        values[row["name"]] = 2 * total[0] / (total[1] + total[2])
        replicates[row["name"]] = 2 * drawn[:, 0] / (drawn[:, 1] + drawn[:, 2])
        metrics = row["metrics"]
        low, high = np.quantile(replicates[row["name"]], [0.025, 0.975])
        assert [metrics["field_f1"][key] for key in ("value", "low", "high", "n")] == [
            values[row["name"]],
            low,
            high,
            N,
        ]
        for name, column in (("exact_match", 3), ("valid_rate", 4)):
            hits = int(total[column])
            interval = proportion_confint(hits, N, method="wilson")
            assert metrics[name]["value"] == hits / N
            assert [metrics[name]["low"], metrics[name]["high"]] == pytest.approx(interval, abs=1e-12)
    for name in ("few shot", "most frequent"):
        row = named(built["comparisons"], metric="field_f1", candidate=name)
        difference = values[name] - values["tuned"]
        spread = replicates[name] - replicates["tuned"]
        assert row["difference"] == difference
        assert [row["low"], row["high"]] == list(np.quantile(spread, [0.025, 0.975]))
        assert row["p"] == (1 + np.sum(np.abs(spread - difference) >= abs(difference))) / (B + 1)
        exact = named(built["comparisons"], metric="exact_match", candidate=name)
        b = int(np.sum((counts[name][:, 3] == 1) & (counts["tuned"][:, 3] == 0)))
        c = int(np.sum((counts[name][:, 3] == 0) & (counts["tuned"][:, 3] == 1)))
        assert exact["difference"] == pytest.approx((b - c) / N)
        assert exact["p"] == pytest.approx(binomtest(b, b + c).pvalue)


def test_each_pair_of_the_family_occurs_once_with_its_adjusted_p() -> None:
    comparisons = report(TUNED, FEW_SHOT, CONSTANT)["comparisons"]
    primary = [row for row in comparisons if row["metric"] == "field_f1"]
    assert [(row["candidate"], row["reference"]) for row in primary] == [
        ("few shot", "tuned"),
        ("most frequent", "tuned"),
    ]
    assert all(row["p"] <= row["p_adjusted"] <= 1 and row["p_bh"] is None for row in primary)
    others = [row for row in comparisons if row["metric"] != "field_f1"]
    assert len(others) == 4
    assert all(row["exploratory"] and row["p_adjusted"] is None and row["p"] <= row["p_bh"] <= 1 for row in others)


def test_the_conclusion_names_the_reference_with_difference_interval_and_n() -> None:
    built = report(TUNED, FEW_SHOT, CONSTANT)
    row = named(built["comparisons"], metric="field_f1", candidate="few shot")
    assert built["conclusion"]["kind"] == "reference_best"
    assert built["conclusion"]["recommended"] == "tuned"
    assert f"by {-row['difference']:.3f} field F1 (95% interval" in built["conclusion"]["text"]
    assert f"n = {N})" in built["conclusion"]["text"]
    assert named(built["candidates"], name="most frequent")["constant_output"] is True
    assert any("most frequent gives the same output" in note for note in built["conclusion"]["notes"])


def test_few_infrastructure_failures_drop_pairs_and_nothing_else() -> None:
    built = report(TUNED, candidate("few shot", noisy(0.4, 2), failed=2))
    row = named(built["candidates"], name="few shot")
    assert row["metrics"]["exact_match"]["n"] == N - 2
    assert row["outputs"][0]["valid"] is None
    compared = named(built["comparisons"], metric="field_f1", candidate="few shot")
    assert (compared["n"], compared["dropped"]) == (N - 2, 2)
    assert "worst_case" not in compared
    whole = named(report(TUNED)["candidates"], name="tuned")["metrics"]["field_f1"]
    assert named(built["candidates"], name="tuned")["metrics"]["field_f1"] == whole


def test_above_two_percent_dropped_the_worst_and_best_cases_are_shown() -> None:
    built = report(TUNED, candidate("few shot", noisy(0.4, 2), failed=6))
    for metric in ("field_f1", "exact_match", "valid_rate"):
        row = named(built["comparisons"], metric=metric, candidate="few shot")
        assert row["worst_case"]["n"] == row["best_case"]["n"] == N
        assert row["worst_case"]["difference"] < row["best_case"]["difference"]
        own = named(built["candidates"], name="few shot")["metrics"][metric]
        assert own["worst_case"]["value"] < own["value"] <= own["best_case"]["value"]
    assert any("6 of 120 pairs were dropped" in note for note in built["conclusion"]["notes"])


def test_a_resample_in_which_nothing_was_answered_is_no_perfect_one() -> None:
    built = report(TUNED, candidate("few shot", ["no answer"] * N, failed=N - 1))
    row = named(built["candidates"], name="few shot")["metrics"]["field_f1"]
    assert [row[key] for key in ("value", "low", "high", "n")] == [0.0, 0.0, 0.0, 1]


def test_answers_that_were_cut_off_are_counted_and_said() -> None:
    cut = tuple(replace(output, finish_reason="length") for output in TUNED.outputs[:3])
    ended = tuple(replace(output, finish_reason="stop") for output in TUNED.outputs[3:])
    built = report(replace(TUNED, outputs=(*cut, *ended), parameters={"max_tokens": 80}), FEW_SHOT)
    row = named(built["candidates"], name="tuned")
    assert (row["truncated"], row["parameters"]) == (3, {"max_tokens": 80})
    assert [output["finish_reason"] for output in row["outputs"][2:4]] == ["length", "stop"]
    assert built["notes"] == [f"3 of {N} answers of tuned ended at the limit of 80 tokens; they count as they stand."]


def test_cost_and_latency_carry_n_and_interval() -> None:
    row = named(report(TUNED)["candidates"], name="tuned")
    assert row["cost_nanousd_per_1000"] == pytest.approx(1_000 * (1_000 + (N - 1) / 2))
    assert row["cost"]["low"] < row["cost_nanousd_per_1000"] < row["cost"]["high"]
    assert row["latency_ms"]["p50"] == 10 + (N - 1) / 2
    assert row["latency_ms"]["p95_low"] < row["latency_ms"]["p95"] < row["latency_ms"]["p95_high"]


def test_an_output_from_the_cache_counts_what_its_text_cost_and_took() -> None:
    made, cached = (
        named(report(tuned)["candidates"], name="tuned")
        for tuned in (TUNED, replace(TUNED, outputs=tuple(replace(output, cached=True) for output in TUNED.outputs)))
    )
    assert (cached["cost"], cached["latency_ms"]) == (made["cost"], made["latency_ms"])
    assert (made["outputs"][0]["cached"], cached["outputs"][0]["cached"]) == (False, True)


def test_what_failed_without_a_cost_has_no_price_and_only_what_infrastructure_failed_is_dropped() -> None:
    lost, refused = (replace(output, text=None, cost_nanousd=None, latency_ms=None) for output in TUNED.outputs[:2])
    outputs = (replace(lost, error="infrastructure"), replace(refused, failure="context_too_long"), *TUNED.outputs[2:])
    row = named(report(replace(TUNED, outputs=outputs))["candidates"], name="tuned")
    paid = sum(output.cost_nanousd or 0 for output in TUNED.outputs[2:])
    assert row["cost_nanousd_per_1000"] == pytest.approx(1_000 * paid / (N - 2))
    assert (row["cost"]["n"], row["latency_ms"]["n"], row["metrics"]["field_f1"]["n"]) == (N - 2, N - 2, N - 1)
    assert [output["valid"] for output in row["outputs"][:2]] == [None, False]
    assert [output["error"] for output in row["outputs"][:2]] == ["infrastructure", None]
    assert [output["failure"] for output in row["outputs"][:2]] == [None, "context_too_long"]


def test_repeats_are_pooled_within_their_example() -> None:
    doubled = tuple(replace(output, repeat=repeat) for output in TUNED.outputs for repeat in (0, 1))
    single, twice = (
        named(report(item)["candidates"], name="tuned")["metrics"] for item in (TUNED, replace(TUNED, outputs=doubled))
    )
    assert twice["field_f1"]["n"] == N
    assert [twice["field_f1"][key] for key in ("value", "low", "high")] == [
        single["field_f1"][key] for key in ("value", "low", "high")
    ]
    assert twice["exact_match"]["value"] == single["exact_match"]["value"]
    assert twice["exact_match"]["method"] == "t interval of unit means"


def test_a_report_can_be_built_while_candidates_still_run() -> None:
    waiting = CandidateFacts("few shot", "prompted", "m", "p", FEW_SHOT.outputs[:5], state="running")
    built = report(TUNED, waiting, CONSTANT)
    assert built["conclusion"]["final"] is False
    row = named(built["candidates"], name="few shot")
    assert row["metrics"] == {}
    assert len(row["outputs"]) == 5
    compared = named(built["comparisons"], metric="field_f1", candidate="few shot")
    assert compared["difference"] is compared["p_adjusted"] is compared["kind"] is None
    # The family is two comparisons although only one has figures, so its p-value is doubled already.
    done = named(built["comparisons"], metric="field_f1", candidate="most frequent")
    assert done["p_adjusted"] == 2 * done["p"]


def test_without_its_reference_nothing_is_recommended() -> None:
    built = report(replace(TUNED, state="running"), FEW_SHOT)
    assert (built["conclusion"]["kind"], built["conclusion"]["recommended"]) == ("no_winner", None)
    assert not is_final(facts(replace(TUNED, state="running"), FEW_SHOT))
    assert is_final(facts(TUNED, replace(FEW_SHOT, state="failed")))


def test_an_undecided_comparison_says_how_many_more_examples_and_what_they_cost() -> None:
    built = report(TUNED, candidate("twin", noisy(0.13, 3)), CONSTANT)
    row = named(built["comparisons"], metric="field_f1", candidate="twin")
    assert row["kind"] == "not_enough_data"
    more = row["more_examples"]
    assert more["more"] > 0
    assert more["cost_nanousd"] == pytest.approx(more["more"] * 2 * (1_000 + (N - 1) / 2), abs=1)
    assert f"Deciding it would probably take at least {more['more']} more examples and $" in row["text"]


def test_the_same_facts_give_the_same_report() -> None:
    assert report(TUNED, FEW_SHOT) == report(TUNED, FEW_SHOT)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: facts(TUNED, TUNED), "unique"),
        (lambda: replace(facts(TUNED), examples=()), "at least one"),
        (lambda: replace(facts(TUNED), candidates=(FEW_SHOT,)), "must be candidates"),
        (lambda: facts(replace(TUNED, outputs=TUNED.outputs[:1] * 2)), "given twice"),
        (lambda: facts(replace(TUNED, outputs=(OutputFacts("nowhere", 0, "{}"),))), "unknown example"),
    ],
)
def test_facts_that_contradict_themselves_are_refused(broken: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_report(broken())


def test_a_failure_of_the_reference_drops_the_pair_and_counts_for_it_in_the_worst_case() -> None:
    built = report(candidate("tuned", noisy(0.1, 1), kind="tuned", failed=6), FEW_SHOT)
    row = named(built["comparisons"], metric="field_f1", candidate="few shot")
    assert (row["n"], row["dropped"]) == (N - 6, 6)
    assert row["worst_case"]["difference"] < row["best_case"]["difference"]
    exact = named(built["comparisons"], metric="exact_match", candidate="few shot")
    own = recomputed_counts(named(report(TUNED, FEW_SHOT)["candidates"], name="few shot"))[:, 3]
    reference = recomputed_counts(named(report(TUNED)["candidates"], name="tuned"))[:, 3]
    reference[:6] = 1
    assert exact["worst_case"]["difference"] == pytest.approx((own.sum() - reference.sum()) / N)
    reference[:6] = 0
    assert exact["best_case"]["difference"] == pytest.approx((own.sum() - reference.sum()) / N)


def test_an_example_with_one_failed_repeat_is_dropped_whole() -> None:
    doubled = tuple(replace(output, repeat=repeat) for output in TUNED.outputs for repeat in (0, 1))
    broken = (replace(doubled[0], text=None, error="infrastructure"), *doubled[1:])
    metrics = named(report(replace(TUNED, outputs=broken))["candidates"], name="tuned")["metrics"]
    assert [metric["n"] for metric in metrics.values()] == [N - 1] * 3
