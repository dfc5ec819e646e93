"""Metrics of labels, numbers and texts, against scikit-learn, sacrebleu, rouge_score, SQuAD and plain decimals."""

import json
import re
import unicodedata
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF
from sklearn.metrics import accuracy_score, f1_score

from apps.evaluation.engine.metrics import FORMATS, scoring_for
from apps.evaluation.engine.metrics.number_answer import parse_number
from apps.evaluation.engine.metrics.overlap import chrf_counts, lcs_length, rouge_l, token_f1
from apps.evaluation.engine.metrics.text import unicode_words

ANSWERS = {
    "json": {"format": "json", "fields": ["a"]},
    "label": {"format": "label", "labels": ["yes", "no", "not  sure"]},
    "text": {"format": "text"},
    "number": {"format": "number", "tolerance": 0.1},
}
LABELS = scoring_for(ANSWERS["label"])
NUMBERS = scoring_for(ANSWERS["number"])
TEXTS = scoring_for(ANSWERS["text"])


def summed(scoring, name: str, pairs: list[tuple[str, str | None]]) -> float:  # noqa: ANN001 - a Scoring
    metric = scoring.metrics[name]
    return metric.value(np.sum([metric.counts(scoring.score(gold, text)) for gold, text in pairs], axis=0))


# --- what a format decides


@pytest.mark.parametrize("format_", FORMATS)
def test_every_metric_of_a_format_says_what_it_is(format_: str) -> None:
    scoring = scoring_for(ANSWERS[format_])
    assert scoring.format == format_
    assert next(iter(scoring.metrics)) == scoring.primary
    for name, metric in scoring.metrics.items():
        assert metric.name == name
        assert metric.signature.startswith(f"{name}|v:{metric.version}|")
        assert len(metric.signature) <= 160  # the column of a stored score
        assert metric.label
        assert "%(" not in metric.help % metric.help_values
        assert metric.kind == "corpus" or metric.width == 2
        assert bool(metric.formula) == (metric.kind == "corpus")


def test_the_same_name_has_another_signature_in_each_format() -> None:
    for name in ("exact_match", "valid_rate"):
        signatures = [scoring_for(ANSWERS[format_]).metrics.get(name) for format_ in FORMATS]
        known = [metric.signature for metric in signatures if metric is not None]
        assert len(set(known)) == len(known) == 3


def test_what_changes_the_figures_changes_the_signature() -> None:
    def signature(answer: dict, name: str) -> str:
        return scoring_for(answer).metrics[name].signature

    assert signature({"format": "label", "labels": ["a", "b"]}, "accuracy") != signature(
        {"format": "label", "labels": ["a", "c"]}, "accuracy"
    )
    assert signature({"format": "number", "tolerance": 1}, "within_tolerance") != signature(
        {"format": "number", "tolerance": 2}, "within_tolerance"
    )


def test_an_answer_that_says_nothing_is_json_and_equal_answers_share_their_scoring() -> None:
    assert scoring_for({}) is scoring_for({"format": "json", "fields": ["a"]})
    assert scoring_for({"labels": ["a", "b"], "format": "label"}) is scoring_for(
        {"format": "label", "labels": ["a", "b"]}
    )


@pytest.mark.parametrize(
    "answer",
    [
        {"format": "picture"},
        {"format": "label", "labels": ["one"]},
        {"format": "label", "labels": ["a", " a"]},
        {"format": "label", "labels": ["a", " "]},
        {"format": "number", "tolerance": -0.1},
        {"format": "number", "tolerance": float("inf")},
    ],
)
def test_an_impossible_answer_is_refused(answer: dict) -> None:
    with pytest.raises(ValueError, match=r"label|tolerance|answer is one of"):
        scoring_for(answer)


@pytest.mark.parametrize("format_", FORMATS)
@given(text=st.text() | st.none())
@settings(max_examples=50)
def test_any_output_is_scored_between_wrong_and_right(format_: str, text: str | None) -> None:
    scoring = scoring_for(ANSWERS[format_])
    expected = {"json": '{"a":"x"}', "label": "yes", "text": "A short text.", "number": "12.5"}[format_]
    right, wrong, score = (
        scoring.score(expected, expected),
        scoring.score(expected, None),
        scoring.score(expected, text),
    )
    for metric in scoring.metrics.values():
        assert metric.value_of(right) == 1.0
        assert metric.value_of(wrong) == 0.0
        assert 0.0 <= metric.value_of(score) <= 1.0
        assert all(own >= 0 for own in metric.counts(score))
    assert score.valid or not score.exact
    stored = json.dumps(score.as_json())
    assert "\\u0000" not in stored
    assert not re.search(r"\\ud[89a-f]", stored)


# --- label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("yes", "yes"),
        (" yes\n", "yes"),
        ("not \t sure", "not sure"),
        ("Yes", None),
        ("yes.", None),
        ("yes no", None),
        ("", None),
        (None, None),
    ],
)
def test_an_answer_is_a_label_as_a_whole_or_not_at_all(text: str | None, label: str | None) -> None:
    score = LABELS.score("yes", text)
    assert score.as_json()["label"] == label
    assert (score.valid, score.exact) == (label is not None, label == "yes")


def test_an_expected_answer_that_is_no_label_is_the_datasets_fault() -> None:
    with pytest.raises(ValueError, match="expected answer"):
        LABELS.score("maybe", "yes")


labels = st.sampled_from(["yes", "no", "not sure"])


@given(st.lists(st.tuples(labels, labels | st.just("no idea")), min_size=1, max_size=30))
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    gold, given_ = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    # scikit-learn 1.9: an answer that is no label is one more class there, of which the mean is not asked.
    occurring = sorted({*gold, *given_} - {"no idea"})
    macro = f1_score(gold, given_, labels=occurring, average="macro", zero_division=0.0)
    assert summed(LABELS, "macro_f1", pairs) == pytest.approx(macro, abs=1e-12)
    assert summed(LABELS, "accuracy", pairs) == pytest.approx(accuracy_score(gold, given_), abs=1e-12)


def test_macro_f1_of_a_case_counted_by_hand() -> None:
    # yes: TP 2, given 3, expected 2 → 4/5; no: TP 1, given 1, expected 3 → 1/2; not sure occurs nowhere.
    pairs: list[tuple[str, str | None]] = [("yes", "yes"), ("yes", "yes"), ("no", "yes"), ("no", "no"), ("no", "?")]
    assert summed(LABELS, "macro_f1", pairs) == pytest.approx((4 / 5 + 1 / 2) / 2)
    assert summed(LABELS, "valid_rate", pairs) == pytest.approx(4 / 5)


def test_macro_f1_of_nothing_is_undefined_and_not_perfect() -> None:
    assert np.isnan(LABELS.metrics["macro_f1"].value([0] * 9))


# --- number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.5", "12.5"),
        (" +12.50\n", "12.5"),
        ("-0.0", "0"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1e3", "1000"),
        ("1E-2", "0.01"),
    ],
)
def test_one_whole_decimal_number_is_read(text: str, value: str) -> None:
    assert parse_number(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    ["", " ", "1,234", "1 234", "12 km", "$5", "5%", "1/2", "NaN", "inf", "0x1", "1_000", "\u0661", "\u00bd", "--1"]
    + ["1e", "e5", ".", "1e401", "1e-401", "1e99999", "9" * 101, "5\x00", None],
)
def test_anything_else_is_no_number(text: str | None) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("expected", "text", "within", "exact"),
    [
        ("0.3", "0.4", True, False),  # 0.4 - 0.3 > 0.1 in doubles
        ("1.0", "0.9", True, False),
        ("1", "1.10000000000000000001", False, False),
        ("12.5", "12.50", True, True),
        ("100", "1e2", True, True),
        ("1e400", "1e-400", False, False),
        ("1e400", "1e400", True, True),
        ("5", "five", False, False),
    ],
)
def test_numbers_are_compared_as_decimals(expected: str, text: str, within: bool, exact: bool) -> None:
    score = NUMBERS.score(expected, text)
    assert (score.as_json()["within"], score.exact) == (within, exact)
    assert NUMBERS.metrics["within_tolerance"].value_of(score) == within


decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=3)


@given(decimals, decimals, st.integers(0, 1000))
def test_the_tolerance_is_absolute_inclusive_and_symmetric(left: Decimal, right: Decimal, thousandths: int) -> None:
    scoring = scoring_for({"format": "number", "tolerance": thousandths / 1000})
    forward, backward = scoring.score(str(left), str(right)), scoring.score(str(right), str(left))
    assert forward.as_json() == backward.as_json()
    assert forward.as_json()["within"] is (abs(left * 1000 - right * 1000) <= thousandths)


def test_an_expected_answer_that_is_no_number_is_the_datasets_fault() -> None:
    with pytest.raises(ValueError, match="expected answer"):
        NUMBERS.score("1,234", "1234")


# --- text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The U.S. won: 3-2!", ["the", "u", "s", "won", "3", "2"]),
        ("Caf\u00e9 STRASSE stra\u00dfe", ["caf\u00e9", "strasse", "strasse"]),
        ("Cafe\u0301", ["caf\u00e9"]),
        ("\u96e8\u304c\u964d\u308b AI", ["\u96e8", "\u304c", "\u964d", "\u308b", "ai"]),
        ("\u0e01\u0e34\u0e19", ["\u0e01\u0e34", "\u0e19"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", ["\u0939\u093f\u0928\u094d\u0926\u0940"]),
        ("\u0e01 \u0e34\u0e34", ["\u0e01", "\u0e34\u0e34"]),
        ("\u2026 \U0001f44d $ \u20ac", []),
    ],
)
def test_words_are_split_by_unicode_and_case_is_folded(text: str, words: list[str]) -> None:
    assert unicode_words(text) == words


def squad_f1(gold: str, answer: str) -> float:
    """The F1 of SQuAD's evaluation script (Rajpurkar et al. 2016), without its removal of articles."""

    def tokens(text: str) -> Counter[str]:
        return Counter(re.sub(r"[^a-z0-9]+", " ", text.lower()).split())

    common = (tokens(gold) & tokens(answer)).total()
    if common == 0:
        return 0.0
    precision, recall = common / tokens(answer).total(), common / tokens(gold).total()
    return 2 * precision * recall / (precision + recall)


english = st.lists(st.sampled_from(["The", "cat", "sat", "on", "mat", "12", "it's", "well-known"]), min_size=1).map(
    " ".join
)


@given(english, english)
def test_token_f1_is_that_of_squad_on_english(gold: str, answer: str) -> None:
    assert token_f1(gold, answer) == pytest.approx(squad_f1(gold, answer), abs=1e-12)


def test_texts_without_a_word_are_compared_as_they_stand() -> None:
    assert token_f1("\U0001f44d", " \U0001f44d ") == rouge_l("\U0001f44d", " \U0001f44d ") == 1.0
    assert token_f1("\U0001f44d", "\U0001f44e") == rouge_l("\U0001f44d", "\U0001f44e") == 0.0
    assert token_f1("\U0001f44d", "yes") == 0.0


def test_exact_match_of_a_text_folds_spaces_and_nothing_else() -> None:
    assert TEXTS.score("Caf\u00e9 au lait", " Cafe\u0301  au\nlait ").exact
    assert not TEXTS.score("Rome", "rome").exact
    assert not TEXTS.score("Rome", "Rome.").exact


latin = st.text(alphabet=st.sampled_from("abcdeABC 123.,-\n\u00e9"), min_size=1, max_size=60)


@given(latin.filter(lambda text: re.search("[a-z0-9]", text.lower())), latin)
def test_rouge_l_is_that_of_rouge_score(gold: str, answer: str) -> None:
    """rouge_score 0.1.2, RougeScorer(["rougeL"], use_stemmer=False)."""
    theirs = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False).score(gold, answer)["rougeL"].fmeasure
    assert rouge_l(gold, answer) == pytest.approx(theirs, abs=1e-12)


class _UnicodeWords:
    def tokenize(self, text: str) -> list[str]:
        return unicode_words(text)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (
            "\u041a\u043e\u043c\u043f\u0430\u043d\u0438\u044f Apple \u0440\u0430\u0441\u0442\u0451\u0442",
            "\u043a\u043e\u043c\u043f\u0430\u043d\u0438\u044f \u043f\u0430\u0434\u0430\u0435\u0442",
        ),
        ("\u96e8\u304c\u964d\u308b", "\u96e8\u306f\u964d\u308b"),
        ("\u00e9", "\u00c9"),
    ],
)
def test_rouge_l_of_other_scripts_is_that_of_rouge_score_with_unicode_words(gold: str, answer: str) -> None:
    scorer = rouge_scorer.RougeScorer(["rougeL"], tokenizer=_UnicodeWords())
    assert rouge_l(gold, answer) == pytest.approx(scorer.score(gold, answer)["rougeL"].fmeasure, abs=1e-12)
    assert rouge_l(gold, answer) > 0


words = st.lists(st.sampled_from("abcd"), max_size=80)


@given(words, words)
def test_the_longest_common_subsequence_is_that_of_the_table(left: list[str], right: list[str]) -> None:
    row = [0] * (len(right) + 1)
    for word in left:
        before = row[:]
        for place, other in enumerate(right, start=1):
            row[place] = before[place - 1] + 1 if word == other else max(before[place], row[place - 1])
    assert lcs_length(left, right) == row[-1]


def test_a_long_text_is_scored_in_no_time() -> None:
    long = " ".join(str(number * 7919 % 1000) for number in range(20_000))
    assert rouge_l(long, long) == 1.0


segments = st.lists(st.tuples(st.text(min_size=1, max_size=30), st.text(max_size=30)), min_size=1, max_size=8)


@given(segments)
def test_chrf_of_a_corpus_is_that_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    """sacrebleu 2.6.0, CHRF() with its defaults; ours is between 0 and 1."""
    theirs = CHRF().corpus_score([text for _, text in pairs], [[gold for gold, _ in pairs]]).score / 100
    sums = np.sum([chrf_counts(gold, text) for gold, text in pairs], axis=0)
    assert TEXTS.metrics["chrf"].value(sums) == pytest.approx(theirs, abs=1e-9)


def test_chrf_of_sentences_agrees_with_sacrebleu_to_nine_decimals_and_carries_its_signature() -> None:
    pairs = [
        ("The cat sat on the mat.", "A cat sat on a mat"),
        ("\u96e8\u304c\u964d\u3063\u3066\u3044\u308b", "\u96e8\u304c\u964d\u308b"),
        ("ab", "abcdefgh"),
        ("Never", ""),
    ]
    chrf = CHRF()
    score = chrf.corpus_score([text for _, text in pairs], [[gold for gold, _ in pairs]])
    assert summed(TEXTS, "chrf", [*pairs]) == pytest.approx(score.score / 100, abs=1e-9)
    assert 0.2 < score.score / 100 < 0.8
    assert f"|{chrf.get_signature()}|" in TEXTS.metrics["chrf"].signature


def test_chrf_of_resamples_is_that_of_each_one_alone() -> None:
    metric = TEXTS.metrics["chrf"]
    counts = np.array([chrf_counts("abcdef", "abcxef"), chrf_counts("hello", "hallo"), chrf_counts("x", "yz")])
    draws = np.array([[2, 1, 0], [0, 0, 3], [0, 3, 0]])
    values = metric.corpus((draws @ counts).astype(np.float64))
    assert values.tolist() == [metric.value(row @ counts) for row in draws]


def test_normalised_forms_are_one_text_for_every_metric_but_chrf() -> None:
    composed = "caf\u00e9 cr\u00e8me"
    score = TEXTS.score(composed, unicodedata.normalize("NFD", composed))
    assert score.exact
    values = {name: metric.value_of(score) for name, metric in TEXTS.metrics.items() if name != "rouge_l"}
    assert values["token_f1"] == 1.0
    assert values["chrf"] < 1.0  # as sacrebleu has it
