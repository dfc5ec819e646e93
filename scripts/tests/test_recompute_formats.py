"""How the recomputation marks labels, numbers and texts, against scikit-learn, sacrebleu, rouge_score and by hand."""

from fractions import Fraction

import numpy as np
import pytest
from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF
from sklearn.metrics import f1_score

from scripts.recompute_lib import formats, texts
from scripts.recompute_lib.formulas import sign_flip_drawn, sign_flip_exact

PAIRS = [
    ("The cat sat on the mat.", "A cat sat, on a mat"),
    ("Rome", ""),
    ("12 open issues", "open 12 issues issues"),
    ("\u0414\u043e\u0436\u0434\u044c \u0438\u0434\u0451\u0442", "\u0434\u043e\u0436\u0434\u044c"),
    ("\u96e8\u304c\u964d\u308b", "\u96e8\u306f\u964d\u308b"),
    ("\U0001f44d", "\U0001f44d"),
]


def test_chrf_is_that_of_sacrebleu() -> None:
    counts = np.array([texts.chrf_counts(gold, text) for gold, text in PAIRS])
    theirs = CHRF().corpus_score([text for _, text in PAIRS], [[gold for gold, _ in PAIRS]]).score / 100
    assert float(texts.chrf(counts.sum(axis=0).tolist())) == pytest.approx(theirs, abs=1e-12)
    drawn = np.array([[1, 0, 2, 0, 0, 0], [0, 5, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]) @ counts
    assert texts.chrf_drawn(drawn) == pytest.approx([float(texts.chrf(row)) for row in drawn.tolist()], abs=1e-15)


def test_rouge_l_is_that_of_rouge_score_on_latin_text() -> None:
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    for gold, text in PAIRS[:3]:
        assert float(texts.rouge_l(gold, text)) == pytest.approx(scorer.score(gold, text)["rougeL"].fmeasure)


def test_other_scripts_and_signs_are_counted_by_hand() -> None:
    assert [texts.rouge_l(gold, text) for gold, text in PAIRS[3:]] == [Fraction(2, 3), Fraction(3, 4), 1]
    assert [texts.token_f1(gold, text) for gold, text in PAIRS[2:]] == [
        Fraction(6, 7),
        Fraction(2, 3),
        Fraction(3, 4),
        1,
    ]


def test_macro_f1_is_that_of_scikit_learn() -> None:
    gold, given = ["a", "a", "b", "b", "c"], ["a", "b", "b", "x", "b"]
    known = formats.label_format(["c", "b", "a", "d"])
    counts = np.array([known.mark(*pair).by_metric["macro_f1"] for pair in zip(gold, given, strict=True)])
    theirs = f1_score(gold, given, labels=["a", "b", "c"], average="macro", zero_division=0.0)
    corpus = known.corpora["macro_f1"]
    assert float(corpus.of(counts.sum(axis=0))) == pytest.approx(theirs)
    assert corpus.drawn(counts.sum(axis=0)[None, :]) == pytest.approx([theirs])


@pytest.mark.parametrize(
    ("text", "number"),
    [("5.", 5), (".5", Fraction(1, 2)), (" +1e2 ", 100), ("-0", 0), ("0e9999", 0), ("1e401", None), ("1/2", None)]
    + [("1_0", None), ("9" * 101, None), ("\u0661", None), (None, None)],
)
def test_a_number_is_one_whole_decimal(text: str | None, number: object) -> None:
    assert formats.number_of(text) == number


def test_a_tolerance_is_the_decimal_it_is_written_as() -> None:
    mark = formats.number_format(0.1).mark
    assert [mark("0.3", text).by_metric["within_tolerance"] for text in ("0.4", "0.2", "0.40000001", "no")] == [
        1,
        1,
        0,
        0,
    ]


@pytest.mark.parametrize("mark", [formats.label_format(["a", "b"]).mark, formats.number_format(0).mark])
def test_an_expected_answer_of_another_format_is_refused(mark) -> None:  # noqa: ANN001 - a function
    with pytest.raises(ValueError, match="expected answer"):
        mark("neither", "a")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="picture"):
        formats.format_of({"experiment": {"answer": {"format": "picture"}}})
    assert formats.format_of({"experiment": {}}) is formats.JSON


def test_sign_flips_agree_with_the_count_of_all_of_them() -> None:
    exact = [Fraction(value, 10) for value in (3, -1, 4, 1, 5, -9, 2, 6, 5, 3)]
    values = np.array([float(value) for value in exact])
    assert sign_flip_drawn(values, seed=1, resamples=99) == sign_flip_exact(exact)
    many = np.array([*values, *values])
    drawn = sign_flip_drawn(many, seed=1, resamples=9_999)
    assert drawn == pytest.approx(sign_flip_exact([*exact, *exact]), abs=5 * (0.25 / 9_999) ** 0.5)
