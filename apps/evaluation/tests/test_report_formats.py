"""Reports of every answer format: two implementations agree on each figure, and the sentences read well."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics import CHRF
from scipy import stats
from sklearn.metrics import f1_score

from apps.evaluation.engine.facts import CandidateFacts
from apps.evaluation.engine.measures import metric_estimate
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.engine.report import build_report
from apps.evaluation.engine.stats.bootstrap import Resampler
from apps.evaluation.engine.units import candidate_units
from apps.evaluation.tests.made_formats import ANSWERS, EXPECTED, N, again, answers, candidate, report_facts, usual
from scripts.recompute_lib.checks import check_report

FORMATS = sorted(ANSWERS)
Maker = Callable[[str], tuple[CandidateFacts, ...]]


def repeated(format_: str) -> tuple[CandidateFacts, ...]:
    first, second, _ = usual(format_)
    return again(first, answers(format_, 0.3, 5, N)), again(second, answers(format_, 0.4, 6, N))


def alike(format_: str) -> tuple[CandidateFacts, ...]:
    first, *_ = usual(format_)
    return first, candidate("twin", answers(format_, 0.2, 8, N), cost=900)


RUNS: dict[str, Maker] = {
    "as usual": usual,
    "pairs dropped": lambda format_: usual(format_, failed=5),
    "no answer of one": lambda format_: usual(format_, failed=N),
    "repeats": repeated,
    "alike": alike,
}


def complaints(report: dict[str, Any]) -> list[str]:
    ledger = check_report(report)
    return ledger.problems + [row.figure for row in ledger.disagreements]


def built(format_: str, run: str = "as usual") -> dict[str, Any]:
    return json.loads(json.dumps(build_report(report_facts(format_, *RUNS[run](format_))), allow_nan=False))


@pytest.mark.parametrize("run", RUNS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("format_", FORMATS)
def test_the_recomputation_confirms_the_report(format_: str, run: str) -> None:
    ledger = check_report(built(format_, run))
    assert ledger.problems == []
    assert ledger.disagreements == []
    assert ledger.not_checked == []
    assert len(ledger.rows) > 50


@pytest.mark.parametrize("format_", FORMATS)
def test_a_handful_of_units_is_confirmed_too(format_: str) -> None:
    """Up to 16 units every pattern of signs is counted instead of drawn."""
    assert complaints(build_report(report_facts(format_, *usual(format_, n=12), n=12))) == []


@pytest.mark.parametrize("format_", FORMATS)
def test_every_metric_has_its_interval_n_method_and_reference(format_: str) -> None:
    report = built(format_)
    assert report["experiment"]["answer"] == ANSWERS[format_]
    assert list(report["experiment"]["metrics"]) == list(scoring_for(ANSWERS[format_]).metrics)
    for row in report["candidates"]:
        assert list(row["metrics"]) == list(report["experiment"]["metrics"])
        for figure in row["metrics"].values():
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert figure["n"] == N
            assert figure["method"]
            assert figure["reference"]


METHODS = {
    "accuracy": ("Wilson score interval", "Tango score interval"),
    "macro_f1": ("percentile bootstrap of units", "percentile bootstrap of units"),
    "token_f1": ("t interval of unit means", "t interval of unit means"),
    "rouge_l": ("t interval of unit means", "t interval of unit means"),
    "chrf": ("percentile bootstrap of units", "percentile bootstrap of units"),
    "within_tolerance": ("Wilson score interval", "Tango score interval"),
}


@pytest.mark.parametrize("format_", FORMATS)
def test_the_method_follows_from_the_kind_of_the_metric(format_: str) -> None:
    report = built(format_)
    found = {name: figure["method"] for name, figure in report["candidates"][0]["metrics"].items()}
    compared = {row["metric"]: row["method"] for row in report["comparisons"]}
    for name in set(METHODS) & set(found):
        assert (found[name], compared[name]) == METHODS[name]


PHRASES = {"label": "accuracy (95% interval", "number": "rate within tolerance (95%", "text": "token F1 (95% interval"}


@pytest.mark.parametrize("format_", FORMATS)
def test_the_conclusion_names_the_metric_of_the_format(format_: str) -> None:
    report = built(format_)
    assert PHRASES[format_] in report["conclusion"]["text"]
    assert report["conclusion"]["recommended"] == "tuned"
    assert "most frequent gives the same output" in " ".join(report["conclusion"]["notes"])


@pytest.mark.parametrize(("format_", "words"), [("label", "Macro F1"), ("text", "chrF of a resample"), ("number", "")])
def test_the_scheme_of_the_bootstrap_gives_the_formulas_of_the_format(format_: str, words: str) -> None:
    scheme = built(format_)["bootstrap"]["scheme"]
    assert words in scheme
    assert "Field F1" not in scheme
    assert ("signs = " in scheme) is (format_ == "text")


def test_figures_of_the_report_are_those_of_the_libraries() -> None:
    """scikit-learn's f1_score, sacrebleu's corpus chrF, scipy's t interval: on the report's own outputs."""
    labels = built("label")["candidates"][1]
    gold = [" ".join(EXPECTED["label"](index).split()) for index in range(N)]
    given = [" ".join(output["text"].split()) for output in labels["outputs"]]
    occurring = sorted({*gold, *given} & {" ".join(label.split()) for label in ANSWERS["label"]["labels"]})
    macro = f1_score(gold, given, labels=occurring, average="macro", zero_division=0.0)
    assert labels["metrics"]["macro_f1"]["value"] == pytest.approx(macro, abs=1e-12)

    texts = built("text")["candidates"][1]
    outputs = [output["text"] for output in texts["outputs"]]
    score = CHRF().corpus_score(outputs, [[EXPECTED["text"](index) for index in range(N)]]).score
    assert texts["metrics"]["chrf"]["value"] == pytest.approx(score / 100, abs=1e-9)

    scoring = scoring_for(ANSWERS["text"])
    metric = scoring.metrics["token_f1"]
    values = [metric.value_of(scoring.score(EXPECTED["text"](index), text)) for index, text in enumerate(outputs)]
    low, high = stats.t.interval(0.95, N - 1, loc=np.mean(values), scale=stats.sem(values))
    figure = texts["metrics"]["token_f1"]
    assert [figure["value"], figure["low"], figure["high"]] == pytest.approx([np.mean(values), low, high], abs=1e-12)


@pytest.mark.parametrize("format_", FORMATS)
def test_what_was_dropped_is_shown_as_all_wrong_and_as_all_right(format_: str) -> None:
    report = built(format_, "pairs dropped")
    for figure in report["candidates"][1]["metrics"].values():
        assert figure["n"] == N - 5
        assert figure["worst_case"]["value"] < figure["value"] < figure["best_case"]["value"]
        assert figure["worst_case"]["n"] == figure["best_case"]["n"] == N
    comparison = report["comparisons"][0]
    assert comparison["worst_case"]["difference"] < comparison["best_case"]["difference"]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_metric_of_all_right_answers_is_one_and_of_none_is_zero(format_: str) -> None:
    facts = report_facts(format_, *usual(format_))
    scoring, resampler = scoring_for(ANSWERS[format_]), Resampler(N, 1, 199)
    right = candidate("right", [EXPECTED[format_](index) for index in range(N)])
    wrong = candidate("wrong", [""] * N)
    for metric in scoring.metrics.values():
        for made, value in ((right, 1.0), (wrong, 0.0)):
            units = candidate_units(made, facts.examples, scoring)
            assert metric_estimate(metric, units, alpha=0.05, resampler=resampler).estimate == value


def falsehoods(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The report with one false figure each: every metric's value and low, every comparison's p and difference."""
    made = []
    for name in report["experiment"]["metrics"]:
        for key in ("value", "low"):
            lie = copy.deepcopy(report)
            lie["candidates"][1]["metrics"][name][key] += 1e-6
            made.append((f"prompted {name}.{key}", lie))
    for place, row in enumerate(report["comparisons"]):
        for key in ("p", "difference"):
            lie = copy.deepcopy(report)
            lie["comparisons"][place][key] += 1e-6
            made.append((f"{row['candidate']} - tuned {row['metric']}.{key}", lie))
    return made


@pytest.mark.parametrize("format_", FORMATS)
def test_one_false_figure_is_found(format_: str) -> None:
    for figure, lie in falsehoods(built(format_)):
        assert figure in complaints(lie)


def test_a_report_read_as_another_format_is_not_confirmed() -> None:
    report = built("number")
    report["experiment"]["answer"]["tolerance"] = 0.0
    assert any("within_tolerance" in complaint for complaint in complaints(report))
    report["experiment"]["answer"] = {"format": "picture"}
    assert any("experiment.answer" in complaint for complaint in complaints(report))


def test_metrics_of_another_format_are_refused() -> None:
    facts = report_facts("label", *usual("label"))
    with pytest.raises(ValueError, match="known metrics"):
        build_report(replace(facts, experiment=replace(facts.experiment, answer={"format": "text"})))
