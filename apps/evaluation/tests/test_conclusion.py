"""Kinds of conclusion, claims, and who is recommended."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.evaluation.engine.compare import Comparison
from apps.evaluation.engine.conclusion import Recommendation, conclusion_kind, is_claimed, kind_of, recommend
from apps.evaluation.engine.facts import CandidateFacts, ExampleFacts, OutputFacts
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.engine.sentences import Conclusion, Wording, comparison_sentence, conclude, dollars
from apps.evaluation.engine.stats.bootstrap import Resampler
from apps.evaluation.engine.stats.result import PairedResult
from apps.evaluation.engine.units import CandidateUnits, candidate_units

VECTORS = json.loads((Path(__file__).parent / "vectors" / "statistics.json").read_text())["conclusions"]
MARGIN, ALPHA, N = 0.05, 0.05, 40
EXAMPLES = tuple(ExampleFacts(str(index), f"input {index}", f'{{"a":"{index}"}}') for index in range(N))


def comparison(
    candidate: str, low: float, high: float, *, p_adjusted: float | None = 0.001, reference: str = "R"
) -> Comparison:
    result = PairedResult((low + high) / 2, N, low, high, 0.001, "interval", "test", "source")
    return Comparison("field_f1", candidate, reference, result, exploratory=False, p_adjusted=p_adjusted)


def units(name: str, cost_nanousd: int | None, *, constant: bool = False, spread: int = 0) -> CandidateUnits:
    outputs = tuple(
        OutputFacts(
            example.id,
            0,
            "{}" if constant else example.expected,
            cost_nanousd=None if cost_nanousd is None else cost_nanousd + (spread if index % 2 else -spread),
        )
        for index, example in enumerate(EXAMPLES)
    )
    return candidate_units(CandidateFacts(name, "prompted", "model", "prompt", outputs), EXAMPLES, scoring_for({}))


def decide(
    candidates: list[CandidateUnits], *comparisons: Comparison, assumed: frozenset[str] = frozenset()
) -> Recommendation:
    return recommend(
        units={item.name: item for item in candidates},
        comparisons=comparisons,
        reference="R",
        assumed=assumed,
        margin=MARGIN,
        alpha=ALPHA,
        resampler=Resampler(N, 1, 499),
    )


def in_words(
    candidates: list[CandidateUnits], *comparisons: Comparison, baselines: frozenset[str] = frozenset()
) -> Conclusion:
    return conclude(
        recommendation=decide(candidates, *comparisons),
        comparisons=comparisons,
        units={item.name: item for item in candidates},
        wording=wording(baselines=baselines),
    )


def wording(*, baselines: frozenset[str] = frozenset()) -> Wording:
    return Wording("R", MARGIN, ALPHA, scoring_for({}).metrics, baselines, lambda message: message)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["conclusion"])
def test_kinds_agree_with_the_vectors(case: dict) -> None:
    low, high = case["interval"]
    assert conclusion_kind(low=low, high=high, margin=VECTORS["margin"]) == case["conclusion"]


@given(st.floats(-1, 1), st.floats(0, 1))
def test_exchanging_the_two_exchanges_better_and_worse(low: float, width: float) -> None:
    forward = conclusion_kind(low=low, high=low + width, margin=MARGIN)
    backward = conclusion_kind(low=-(low + width), high=-low, margin=MARGIN)
    if forward.startswith(("better", "worse")):
        assert backward == {"b": "worse", "w": "better"}[forward[0]] + forward.removeprefix("better").removeprefix(
            "worse"
        )
    elif forward == "equivalent":
        assert backward == "equivalent"
    else:
        assert backward in {"not_enough_data", "not_worse_by_more_than_margin"}


def test_a_bound_on_the_margin_is_not_past_it() -> None:
    assert conclusion_kind(low=0.05, high=0.1, margin=0.05) == "better"
    assert conclusion_kind(low=-0.05, high=0.01, margin=0.05) == "not_enough_data"
    assert conclusion_kind(low=0.0, high=0.01, margin=0.05) == "equivalent"


def test_a_difference_is_claimed_only_with_a_small_adjusted_p() -> None:
    assert is_claimed(comparison("C", 0.01, 0.2, p_adjusted=0.05), margin=MARGIN, alpha=ALPHA)
    assert not is_claimed(comparison("C", 0.01, 0.2, p_adjusted=0.0501), margin=MARGIN, alpha=ALPHA)
    assert not is_claimed(comparison("C", 0.01, 0.2, p_adjusted=None), margin=MARGIN, alpha=ALPHA)
    assert not is_claimed(comparison("C", -0.01, 0.02), margin=MARGIN, alpha=ALPHA)


def test_a_comparison_without_figures_is_not_enough_data() -> None:
    missing = Comparison("field_f1", "C", "R", None, exploratory=False)
    assert kind_of(missing, margin=MARGIN) == "not_enough_data"
    assert comparison_sentence(missing, wording()) == "C against R: no figures yet."


def test_the_cheaper_of_two_that_qualify_is_recommended() -> None:
    chosen = decide([units("R", 900), units("C", 300)], comparison("C", -0.03, 0.04))
    assert (chosen.recommended, chosen.also) == ("C", ())
    assert chosen.cost_comparisons[0].clear


def test_absence_of_a_significant_difference_does_not_qualify() -> None:
    chosen = decide([units("R", 900), units("C", 300)], comparison("C", -0.2, 0.2, p_adjusted=1.0))
    assert chosen.recommended == "R"
    assert chosen.qualifying == ("R",)


def test_a_better_but_dearer_candidate_does_not_displace_a_cheaper_reference_and_is_named() -> None:
    conclusion = in_words([units("R", 300), units("C", 900)], comparison("C", 0.06, 0.12))
    assert (conclusion.kind, conclusion.recommended) == ("reference_best", "R")
    assert "C" in conclusion.text
    assert "+0.090 field F1 (95% interval +0.060 to +0.120, n = 40)" in conclusion.text


def test_both_are_named_when_their_costs_cannot_be_told_apart() -> None:
    candidates = [units("R", 500, spread=400), units("C", 500)]
    chosen = decide(candidates, comparison("C", -0.03, 0.04))
    assert (chosen.recommended, chosen.also) == ("R", ("C",))
    text = in_words(candidates, comparison("C", -0.03, 0.04)).text
    assert text.startswith("R or C: ")


def test_among_equally_cheap_ones_a_claimed_better_one_comes_first() -> None:
    conclusion = in_words([units("R", 500), units("C", 500)], comparison("C", 0.06, 0.12))
    assert (conclusion.kind, conclusion.recommended) == ("better_by_more_than_margin", "C")
    assert conclusion.also == ("R",)


def test_an_unknown_cost_is_never_the_cheapest() -> None:
    chosen = decide([units("R", 900), units("C", None)], comparison("C", -0.03, 0.04))
    assert (chosen.recommended, chosen.also) == ("R", ("C",))


def test_a_constant_candidate_is_called_so_and_never_recommended() -> None:
    conclusion = in_words([units("R", 900), units("K", 0, constant=True)], comparison("K", -0.03, 0.04))
    assert conclusion.recommended == "R"
    assert any("K gives the same output for every example" in note for note in conclusion.notes)


def test_a_constant_answer_that_the_reference_does_not_beat_is_not_hidden() -> None:
    candidates = [units("R", 900), units("K", 0, constant=True), units("D", 300)]
    conclusion = in_words(candidates, comparison("K", -0.03, 0.04), comparison("D", -0.35, -0.25))
    assert (conclusion.kind, conclusion.recommended) == ("reference_best", "R")
    assert "not what has been shown to be better: K, which gives the same output for every example" in conclusion.text
    assert "+0.005 field F1 (95% interval \N{MINUS SIGN}0.030 to +0.040, n = 40)" in conclusion.text
    assert any("K gives the same output" in note and "it is not worse than R" in note for note in conclusion.notes)
    alone = in_words(candidates[:2], comparison("K", -0.03, 0.04))
    assert alone.text == conclusion.text


def test_a_constant_answer_that_qualifies_with_others_is_not_hidden_either() -> None:
    candidates = [units("R", 300), units("K", 0, constant=True), units("C", 900)]
    conclusion = in_words(candidates, comparison("K", -0.03, 0.02), comparison("C", -0.01, 0.04))
    assert conclusion.recommended == "R"
    assert "is what remains" in conclusion.text
    assert "K, which" in conclusion.text


def test_a_constant_answer_that_is_the_closest_is_the_one_that_is_quoted() -> None:
    candidates = [units("R", 900), units("K", 0, constant=True), units("C", 300)]
    conclusion = in_words(candidates, comparison("K", -0.3, -0.2), comparison("C", -0.5, -0.4))
    assert "it leads the closest other candidate, K, by 0.250 field F1" in conclusion.text
    assert "K gives the same output for every example; it is never recommended." in conclusion.notes


def test_a_constant_reference_leaves_no_winner() -> None:
    conclusion = in_words([units("R", 900, constant=True), units("C", 900)], comparison("C", -0.2, 0.2))
    assert (conclusion.kind, conclusion.recommended) == ("no_winner", None)
    assert "R gives the same output for every example" in conclusion.text


def test_a_reference_that_a_constant_answer_beats_is_not_praised() -> None:
    conclusion = in_words([units("R", 900), units("K", 0, constant=True)], comparison("K", 0.06, 0.12))
    assert (conclusion.kind, conclusion.recommended) == ("no_winner", None)
    assert "K, which gives the same output for every example, is better than R" in conclusion.text


def test_above_a_constant_answer_that_beats_the_reference_others_still_qualify() -> None:
    candidates = [units("R", 900), units("K", 0, constant=True), units("C", 900), units("D", 900)]
    chosen = decide(
        candidates, comparison("K", 0.06, 0.12), comparison("C", 0.2, 0.3), comparison("D", 0.0, 0.1, p_adjusted=0.2)
    )
    assert chosen.qualifying == ("C",)


def test_a_baseline_that_wins_is_said_in_the_first_words() -> None:
    candidates = [units("R", 900), units("lookup", 0)]
    conclusion = in_words(candidates, comparison("lookup", -0.01, 0.02), baselines=frozenset({"lookup"}))
    assert conclusion.recommended == "lookup"
    assert conclusion.kind == "equivalent"
    assert conclusion.text.startswith("No model is needed, a free baseline wins: lookup ")


def test_the_reference_that_leads_is_quoted_against_the_closest_candidate() -> None:
    candidates = [units("R", 900), units("C", 300), units("D", 300)]
    conclusion = in_words(candidates, comparison("C", -0.3, -0.2), comparison("D", -0.5, -0.4))
    assert conclusion.kind == "reference_best"
    assert "C, by 0.250 field F1 (95% interval 0.200 to 0.300, n = 40)" in conclusion.text


def test_half_or_twice_an_assumed_price_is_tried() -> None:
    candidates = [units("R", 500), units("C", 400)]
    kept = decide(candidates, comparison("C", -0.03, 0.04), assumed=frozenset({"R", "C"}))
    assert (kept.price_assumed, kept.price_changes_winner) == (True, False)
    changed = decide(candidates, comparison("C", -0.03, 0.04), assumed=frozenset({"C"}))
    assert (changed.recommended, changed.price_changes_winner) == ("C", True)
    alone = decide(candidates, comparison("C", -0.3, -0.2), assumed=frozenset({"R"}))
    assert (alone.qualifying, alone.price_assumed, alone.price_changes_winner) == (("R",), True, False)
    measured = decide(candidates, comparison("C", -0.03, 0.04))
    assert (measured.price_assumed, measured.price_changes_winner) == (False, False)


def test_a_difference_lost_to_the_correction_is_said_to_be_lost() -> None:
    sentence = comparison_sentence(comparison("C", 0.01, 0.09, p_adjusted=0.2), wording())
    assert "not claimed after Holm's correction (adjusted p = 0.2)" in sentence


def test_sentences_go_through_the_translation() -> None:
    shouting = Wording("R", MARGIN, ALPHA, scoring_for({}).metrics, frozenset(), lambda message: f"[{message}]")
    sentence = comparison_sentence(comparison("C", -0.3, -0.2), shouting)
    assert sentence.startswith("[C against R: [worse by more")
    assert "[field F1]" in sentence


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [(0, "0.00"), (1, "0.000000001"), (1_234_567, "0.0012"), (99_000_000, "0.099"), (2_500_000_000, "2.50")],
)
def test_money_is_never_shown_as_nothing(nanousd: int, shown: str) -> None:
    assert dollars(nanousd) == shown


def test_cost_interval_comes_from_paired_units() -> None:
    chosen = decide([units("R", 500, spread=400), units("C", 499, spread=400)], comparison("C", -0.03, 0.04))
    # Both spread in the same way, so the paired difference is exactly one nano-dollar on every unit.
    result = chosen.cost_comparisons[0].result
    assert [result.low, result.high] == pytest.approx([1_000, 1_000])
    assert chosen.recommended == "C"
    assert np.isclose(result.estimate or 0.0, 1_000)
