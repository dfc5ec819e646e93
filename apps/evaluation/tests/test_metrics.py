"""Metrics of JSON answers against the shared vectors and the rules of RFC 8259."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.engine.metrics.json_answer import parse_answer, score_answer
from apps.evaluation.engine.metrics.text import fold

METRICS = scoring_for({"format": "json"}).metrics
VECTORS = json.loads((Path(__file__).parent / "vectors" / "statistics.json").read_text())


@pytest.mark.parametrize("case", VECTORS["json_answers"]["cases"], ids=lambda case: case["output"])
def test_validity_and_exact_match_agree_with_the_vectors(case: dict) -> None:
    score = score_answer(case["gold"], case["output"])
    assert (score.valid, score.exact) == (case["valid"], case["exact"])


def test_field_f1_agrees_with_the_counts_made_by_hand() -> None:
    vector = VECTORS["field_f1"]
    scores = [score_answer(pair["gold"], pair["output"]) for pair in vector["pairs"]]
    tp, predicted, gold = (sum(counts) for counts in zip(*map(METRICS["field_f1"].counts, scores), strict=True))
    assert (tp, predicted, gold) == (vector["tp"], vector["predicted"], vector["gold"])
    assert METRICS["field_f1"].value((tp, predicted, gold)) == pytest.approx(vector["micro_f1"], abs=1e-6)
    assert sum(not score.valid for score in scores) == vector["invalid"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"a"',
        '[["a","x"]]',
        '{"a":"x"} ',
        '{"a":"x"}{}',
        '{"a":"x",}',
        "{'a':'x'}",
        '{"a":{"b":"x"}}',
        '{"a":["x"]}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":.5}',
        '{"a":"line\nbreak"}',
        '\ufeff{"a":"x"}',
        '\xa0{"a":"x"}',
        '{"a":"x"} // comment',
        '{"a":"\\x41"}',
        '{"a":{"b":"x","b":"y"}}',
        None,
    ],
)
def test_only_a_flat_rfc_8259_object_is_valid(text: str | None) -> None:
    # Space around the object is allowed by RFC 8259, everything else here is not.
    assert (parse_answer(text) is not None) == (text == '{"a":"x"} ')


@pytest.mark.parametrize(("output", "exact"), [("1", False), ("1.0", True), ("1.00", False), ("1e0", False)])
def test_a_number_compares_by_its_literal_text(output: str, exact: bool) -> None:
    assert score_answer('{"a":1.0}', f'{{"a":{output}}}').exact is exact


def test_deep_and_huge_inputs_are_judged_and_do_not_crash() -> None:
    assert parse_answer("[" * 500_000) is None
    assert parse_answer('{"a":' * 500_000) is None
    assert parse_answer('{"a":' + "9" * 1_000_000 + "}") is not None


def test_values_are_folded_and_keys_are_not() -> None:
    decomposed, composed = "Cafe\u0301", "Caf\u00e9"
    assert score_answer(f'{{"a":"{composed} b"}}', f'{{"a":" {decomposed}\\t b "}}').exact
    assert not score_answer(f'{{"{composed}":"x"}}', f'{{"{decomposed}":"x"}}').exact
    assert not score_answer('{"a":"x"}', '{" a":"x"}').exact
    assert not score_answer('{"a":"x"}', '{"a":"X"}').exact


def test_matched_missed_and_extra_fields_are_named() -> None:
    score = score_answer('{"a":"x","b":"y","c":"z"}', '{"c":"z","b":"Y","d":"1"}')
    assert score.matched == (("c", "z"),)
    assert score.missed == (("a", "x"), ("b", "y"))
    assert score.extra == (("b", "Y"), ("d", "1"))
    assert (score.tp, score.predicted, score.gold) == (1, 3, 3)


def test_a_score_as_json_holds_nothing_that_a_database_refuses() -> None:
    stored = json.dumps(score_answer('{"a":"x"}', '{"a":"\\u0000\\ud800"}').as_json())
    assert "\\u0000" not in stored
    assert "\\ud800" not in stored
    assert json.loads(stored)["valid"] is True


def test_an_invalid_expected_answer_is_the_datasets_fault() -> None:
    with pytest.raises(ValueError, match="expected answer"):
        score_answer("not JSON", '{"a":"x"}')


def test_no_pair_on_either_side_scores_one() -> None:
    assert METRICS["field_f1"].value((0, 0, 0)) == 1.0
    assert score_answer("{}", "{}").exact


def test_every_metric_says_what_it_is() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.signature.startswith(f"{name}|v:{metric.version}|")
        assert metric.help


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


answers = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["x", "y", "x  y", "1"])).map(json.dumps)


@given(answers, answers)
def test_exchanging_the_sides_exchanges_missed_and_extra(left: str, right: str) -> None:
    forward, backward = score_answer(left, right), score_answer(right, left)
    assert forward.tp == backward.tp
    assert (forward.missed, forward.extra) == (backward.extra, backward.missed)
    assert forward.exact == backward.exact == (forward.tp == forward.gold == forward.predicted)


@given(st.text())
def test_any_text_is_judged_and_an_invalid_one_predicts_nothing(text: str) -> None:
    score = score_answer('{"a":"x"}', text)
    assert score.valid or (score.predicted == 0 and not score.exact)
