"""The recomputation of a whole report: an honest one is confirmed, and every lie in it is found."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.recompute_lib import sentences
from scripts.recompute_lib.checks import check_report
from scripts.recompute_lib.decision import Contender, qualifying
from scripts.recompute_lib.formats import JSON
from scripts.recompute_lib.units import candidate_units, outputs_all_equal


def complaints(report: dict[str, Any]) -> list[str]:
    ledger = check_report(report)
    return ledger.problems + [row.figure for row in ledger.disagreements]


def test_the_hand_made_report_has_the_figures_counted_by_hand(honest: dict[str, Any]) -> None:
    # good: 2·9 / (9 + 10); plain: 2·6 / (9 + 9); constant: 2·1 / (8 + 10), over their units without a failure.
    values = {entry["name"]: entry["metrics"]["field_f1"]["value"] for entry in honest["candidates"]}
    assert values == pytest.approx({"good": 18 / 19, "plain": 12 / 18, "constant": 2 / 18})


def test_an_honest_report_is_confirmed(honest: dict[str, Any]) -> None:
    ledger = check_report(honest)
    assert complaints(honest) == []
    assert len(ledger.rows) > 130


FIGURES = [
    *(
        ("candidates", place, "metrics", name, key)
        for place in range(3)
        for name in ("field_f1", "exact_match", "valid_rate")
        for key in ("value", "low", "high", "n")
    ),
    *(("candidates", 1, "metrics", "field_f1", case, "low") for case in ("worst_case", "best_case")),
    *(("candidates", place, "cost", key) for place in range(3) for key in ("value", "low", "high", "n")),
    *(("candidates", place, "latency_ms", key) for place in range(3) for key in ("p50", "p95")),
    *(("candidates", place, key) for place in range(3) for key in ("cost_nanousd_per_1000", "constant_output")),
    *(("comparisons", place, key) for place in range(6) for key in ("difference", "low", "high", "p", "n")),
    *(("comparisons", place, "p_adjusted") for place in range(2)),
    *(("comparisons", place, "p_bh") for place in range(2, 6)),
    *(("comparisons", 2, case, "p") for case in ("worst_case", "best_case")),
    ("candidates", 2, "outputs", 6, "valid"),
    ("candidates", 1, "outputs", 2, "valid"),
    ("conclusion", "kind"),
    ("conclusion", "recommended"),
    ("bootstrap", "seed"),
    ("experiment", "alpha"),
]


def falsified(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value + 1e-6 * max(1.0, abs(value)) if isinstance(value, float) else "plain"


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: ".".join(str(step) for step in path))
def test_one_false_figure_is_found(honest: dict[str, Any], path: tuple[Any, ...]) -> None:
    report = copy.deepcopy(honest)
    place = report
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = falsified(place[path[-1]])
    assert complaints(report) != []


@pytest.mark.parametrize("number", range(4))
def test_a_false_number_in_the_sentence_is_found(honest: dict[str, Any], number: int) -> None:
    report = copy.deepcopy(honest)
    words = report["conclusion"]["text"].replace("(95% ", "(95%_").split(" ")
    places = [place for place, word in enumerate(words) if any(sign.isdigit() for sign in word) and word != "F1"]
    places = [place for place in places if "95" not in words[place]]
    words[places[number]] = words[places[number]][:-1].rstrip("0123456789") + "777" + words[places[number]][-1:]
    report["conclusion"]["text"] = " ".join(words).replace("(95%_", "(95% ")
    assert any("conclusion.text" in complaint for complaint in complaints(report))


def drop(report: dict[str, Any], *path: Any) -> None:
    place: Any = report
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        (("memory_mib",), "memory_mib: is missing"),
        (("candidates", 0, "metrics", "exact_match"), "metric exact_match is missing"),
        (("candidates", 0, "metrics", "field_f1", "low"), "field_f1.low: is missing"),
        (("candidates", 0, "latency_ms", "p95"), "latency_ms.p95: is missing"),
        (("candidates", 0, "outputs", 3), "no output for example 'e3'"),
        (("comparisons", 1), "the pair ('constant', 'good') of the family is missing"),
        (("comparisons", 3, "exploratory"), "needs exploratory: true"),
        (("training", "epochs"), "training.epochs: is missing"),
        (("conclusion", "text"), "conclusion.text: is missing"),
    ],
)
def test_what_is_missing_is_named(honest: dict[str, Any], path: tuple[Any, ...], complaint: str) -> None:
    report = copy.deepcopy(honest)
    drop(report, *path)
    assert any(complaint in line for line in complaints(report))


def edited(honest: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    report = copy.deepcopy(honest)
    report["candidates"][1]["name"] = "good"
    yield report, "name 'good' occurs 2 times"
    report = copy.deepcopy(honest)
    report["comparisons"].append(copy.deepcopy(report["comparisons"][0]))
    yield report, "('field_f1', 'plain', 'good') occurs 2 times"
    report = copy.deepcopy(honest)
    report["candidates"][0]["outputs"][0]["error"] = "timeout"
    yield report, "error 'timeout'"
    report = copy.deepcopy(honest)
    report["candidates"][0]["outputs"][1] = copy.deepcopy(report["candidates"][0]["outputs"][0])
    yield report, "2 outputs for example 'e0'"
    report = copy.deepcopy(honest)
    report["comparisons"][2]["p_adjusted"] = 1.0
    yield report, "outside the family it needs exploratory: true and p_adjusted: null"
    report = copy.deepcopy(honest)
    report["conclusion"]["text"] = "good is the one to ship."
    yield report, "no difference with interval and n is quoted"
    report = copy.deepcopy(honest)
    report["bootstrap"]["resamples"] = 999
    yield report, "at least 9999"


def test_a_broken_contract_is_named(honest: dict[str, Any]) -> None:
    for report, complaint in edited(honest):
        assert any(complaint in line for line in complaints(report)), complaint


def test_a_difference_turned_round_is_found(honest: dict[str, Any]) -> None:
    report = copy.deepcopy(honest)
    row = report["comparisons"][0]
    row |= {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
    assert "plain - good field_f1.difference" in complaints(report)


def test_a_candidate_that_always_says_the_same_is_never_confirmed_as_recommended(honest: dict[str, Any]) -> None:
    report = copy.deepcopy(honest)
    report["conclusion"] |= {"recommended": "constant", "kind": "better"}
    assert "conclusion.recommended" in complaints(report)


def test_a_quotation_may_be_read_from_either_side_and_in_any_rounding() -> None:
    evidence = [sentences.Evidence("a2", "b", -0.1236, -0.2, -0.05, 30)]
    known = {"names": ["a2", "b"], "evidence": evidence, "confidence": 95.0, "loose": [], "must_quote": True}
    for text in (
        "a2 is worse: \u22120.124 F1 (95% interval \u22120.200 to \u22120.050, n = 30).",
        "b leads a2 by 0.12 field F1 (95% interval 0.05 to 0.20, n = 30).",
    ):
        assert sentences.sentence_problems(text, **known) == []
    for text in (
        "b leads a2 by 0.12 field F1 (90% interval 0.05 to 0.20, n = 30).",
        "b leads a2 by 0.12 field F1 (95% interval 0.05 to 0.20, n = 31).",
        "b leads a2 by 0.12 field F1 (95% interval 0.05 to 0.20, n = 30), 7 times.",
    ):
        assert len(sentences.sentence_problems(text, **known)) == 1


def contender(name: str, *, constant: bool = False) -> Contender:
    outputs = [{"example": "1", "repeat": 0, "text": "{}", "error": None}]
    units = candidate_units([{"id": "1", "expected": "{}"}], outputs, JSON)
    return Contender(name, units, assumed=False, constant=constant)


def test_whoever_a_constant_answer_is_claimed_to_beat_does_not_qualify() -> None:
    everyone = {name: contender(name, constant=name == "constant") for name in ("good", "constant", "above", "below")}
    compared = {
        "constant": {"difference": 0.09, "low": 0.06, "claimed_better": True},
        "above": {"difference": 0.2, "low": 0.1, "claimed_better": True},
        "below": {"difference": 0.05, "low": 0.0, "claimed_better": False},
    }
    assert qualifying(everyone, "good", compared, 0.05) == ["above"]
    compared["constant"]["claimed_better"] = False
    assert qualifying(everyone, "good", compared, 0.05) == ["good", "above", "below"]


def test_outputs_that_differ_in_spaces_around_them_are_equal() -> None:
    def output(text: str | None, error: str | None = None) -> dict[str, Any]:
        return {"text": text, "error": error}

    assert outputs_all_equal([output("{}"), output(" {}\n"), output(None, "infrastructure")])
    assert not outputs_all_equal([output("{}"), output("{ }")])
    assert not outputs_all_equal([output("{}"), output(None, "infrastructure")])
