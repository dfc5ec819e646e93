"""Two implementations that share no code must agree on every figure: the product's report, and the recomputation."""

from dataclasses import replace
from typing import Any

import pytest

from apps.evaluation.engine.facts import CandidateFacts
from apps.evaluation.engine.report import build_report
from apps.evaluation.tests.made_reports import CONSTANT, FEW_SHOT, TUNED, N, candidate, expected, facts, noisy
from scripts.recompute_lib.checks import check_report

PRICED = replace(candidate("cheap", noisy(0.1, 1), cost=600), cost_assumed=True)
ALIKE = candidate("alike", noisy(0.1, 1), cost=1_000)


def twice(made: CandidateFacts) -> CandidateFacts:
    """Two repeats of every output; the second one is right where the first was not."""
    again = tuple(
        replace(output, repeat=1, text=expected(index) if index % 3 == 0 else output.text)
        for index, output in enumerate(made.outputs)
    )
    return replace(made, outputs=(*made.outputs, *again))


def failed_itself(made: CandidateFacts) -> CandidateFacts:
    """Some answers of its own never came, some others came from the cache."""
    refused = tuple(
        replace(output, text="", failure="context_too_long", cost_nanousd=None, latency_ms=None)
        for output in made.outputs[:9]
    )
    cached = tuple(replace(output, cached=True) for output in made.outputs[9:30])
    return replace(made, outputs=(*refused, *cached, *made.outputs[30:]))


def cut_off(made: CandidateFacts) -> CandidateFacts:
    ends = ("length", "stop", "stop", None)
    outputs = tuple(replace(output, finish_reason=ends[index % 4]) for index, output in enumerate(made.outputs))
    return replace(made, outputs=outputs, parameters={"max_tokens": 80, "temperature": 0.0})


RUNS: dict[str, tuple[CandidateFacts, ...]] = {
    "a reference that leads": (TUNED, FEW_SHOT, CONSTANT),
    "pairs dropped": (TUNED, candidate("few shot", noisy(0.4, 2), failed=6), CONSTANT),
    "pairs of the reference dropped": (candidate("tuned", noisy(0.1, 1), kind="tuned", failed=2), FEW_SHOT),
    "a candidate without any answer": (TUNED, candidate("few shot", noisy(0.4, 2), failed=N)),
    "a candidate with a single answer": (TUNED, candidate("few shot", noisy(0.4, 2), failed=N - 1)),
    "answers cut off": (cut_off(TUNED), cut_off(FEW_SHOT), CONSTANT),
    "a constant answer that the reference does not beat": (
        candidate("tuned", noisy(0.62, 1), kind="tuned"),
        CONSTANT,
        candidate("weak", noisy(0.9, 4)),
    ),
    "repeats": (twice(TUNED), twice(FEW_SHOT)),
    "repeats on one side": (twice(TUNED), FEW_SHOT),
    "failures of the candidate's own, and cached answers": (TUNED, failed_itself(FEW_SHOT), failed_itself(ALIKE)),
    "not enough data": (TUNED, candidate("twin", noisy(0.13, 3)), CONSTANT),
    "a cheaper one wins at an assumed price": (TUNED, PRICED, FEW_SHOT),
    "an assumed price decides": (TUNED, replace(PRICED, name="near", outputs=ALIKE.outputs)),
    "costs that cannot be told apart": (TUNED, ALIKE),
    "a constant answer beats the reference": (
        candidate("tuned", [f"none {index}" for index in range(N)], kind="tuned"),
        CONSTANT,
        candidate("weak", [f"still none {index}" for index in range(N)]),
    ),
    "a constant reference": (candidate("tuned", ["{}", " {}"] * (N // 2), kind="tuned"), FEW_SHOT),
}


def whole(run: str) -> dict[str, Any]:
    """The report of a run, with everything that the contract asks for."""
    made = replace(
        facts(*RUNS[run]),
        resamples=9_999,
        training={"examples": 1, "epochs": 1, "tokens_per_second": 1.0, "seconds": 1.0},
        memory_mib={"peak_pss": 1.0},
    )
    return build_report(made)


@pytest.mark.parametrize("run", RUNS, ids=lambda name: name.replace(" ", "-"))
def test_the_recomputation_confirms_the_report(run: str) -> None:
    ledger = check_report(whole(run))
    assert ledger.problems == []
    assert ledger.disagreements == []
    assert len(ledger.rows) > 50


def test_a_sentence_that_hides_a_constant_answer_which_is_level_is_found() -> None:
    built = whole("a constant answer that the reference does not beat")
    built["conclusion"]["text"] = built["conclusion"]["text"].replace("most frequent", "weak")
    assert any("is silent about most frequent" in problem for problem in check_report(built).problems)


def test_the_runs_come_to_different_conclusions() -> None:
    """Else the comparison above would always go the same way through the rules."""
    conclusions = [build_report(facts(*run))["conclusion"] for run in RUNS.values()]
    kinds = {item["kind"] for item in conclusions}  # type: ignore[index]
    assert {"reference_best", "no_winner", "equivalent"} <= kinds
    assert any("is what remains" in item["text"] for item in conclusions)  # type: ignore[index]
    assert {item["price_changes_winner"] for item in conclusions} == {True, False}  # type: ignore[index]
