"""Answers and formulas of the recomputation against published figures, libraries and counts made by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import optimize
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from scripts.recompute_lib import answers, formulas
from scripts.tests.honest_report import HAND_COUNTED

Z = 1.959963984540054

# Answers


@pytest.mark.parametrize(("gold", "text", "counts", "valid", "exact"), HAND_COUNTED)
def test_pairs_are_counted_as_by_hand(
    gold: str, text: str, counts: tuple[int, int, int], valid: bool, exact: bool
) -> None:
    expected, answer = answers.read_answer(gold), answers.try_answer(text)
    assert answers.pair_counts(expected, answer) == counts
    assert (answer is not None) is valid
    assert (answer == expected) is exact


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"zip":12345}', {"zip": "12345"}),
        ('{"a":1.50e+2}', {"a": "1.50e+2"}),
        (' {"a" : "x  y\\u0020 z"}\n', {"a": "x y z"}),
        ('{"a":"cafe\u0301"}', {"a": "caf\u00e9"}),
        ('{"cafe\u0301":"x"}', {"cafe\u0301": "x"}),
        ('{"a":"\\ud83d\\ude00\\/\\t"}', {"a": "\U0001f600/"}),
        ('{"A":"X"}', {"A": "X"}),
    ],
)
def test_a_flat_object_of_strings_and_numbers_is_read(text: str, answer: dict[str, str]) -> None:
    assert answers.read_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"y","a":"x"}',
        '{"\\u0061":"y","a":"x"}',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":null}',
        '{"a":true}',
        '{"a":{}}',
        '{"a":["x"]}',
        '```json\n{"a":"x"}\n```',
        'Here: {"a":"x"}',
        '{"a":"x"} ok',
        '{"a":"x"}{}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":1.}',
        '{"a":"x",}',
        "{'a':'x'}",
        '{"a":"\t"}',
        '{"a":"\\x"}',
        '{"a":"\\u12"}',
        '{"a":"x"',
        "\ufeff{}",
        "[]",
        "",
    ],
)
def test_anything_else_is_invalid(text: str) -> None:
    with pytest.raises(answers.InvalidAnswer):
        answers.read_answer(text)


# Formulas


def test_wilson_agrees_with_statsmodels() -> None:
    for successes, n in [(17, 20), (5, 5), (0, 9), (1, 200)]:
        expected = proportion_confint(successes, n, alpha=0.05, method="wilson")
        assert formulas.wilson(successes, n, 0.05) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("b", "c", "p"), [(150, 86, 3.715936e-05), (10, 2, 0.03857422), (3, 3, 1.0)])
def test_mcnemar_agrees_with_worked_examples_and_statsmodels(b: int, c: int, p: float) -> None:
    assert formulas.mcnemar_exact(b, c) == pytest.approx(p, rel=1e-6)
    assert formulas.mcnemar_exact(b, c) == pytest.approx(mcnemar([[0, b], [c, 0]], exact=True).pvalue, rel=1e-9)


def score_by_likelihood(b: int, c: int, n: int, delta: float) -> float:
    """Tango's statistic with the nuisance share found by maximising the likelihood, not by his formula."""

    def cost(q: float) -> float:
        parts = ((b, q + delta), (c, q), (n - b - c, 1 - 2 * q - delta))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in parts if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = float(optimize.minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x)
    return (b - c - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(("b", "c", "n"), [(12, 2, 50), (3, 9, 40), (5, 5, 30), (40, 60, 220)])
def test_tango_limits_are_where_the_score_test_just_rejects(b: int, c: int, n: int) -> None:
    low, high = formulas.tango(b, c, n, 0.05)
    assert score_by_likelihood(b, c, n, low) == pytest.approx(Z, abs=1e-4)
    assert score_by_likelihood(b, c, n, high) == pytest.approx(-Z, abs=1e-4)


def test_tango_has_closed_forms_at_the_edges() -> None:
    n, z2 = 60, Z * Z
    assert formulas.tango(0, 0, n, 0.05) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-12)
    assert formulas.tango(n, 0, n, 0.05) == pytest.approx(((n - z2) / (n + z2), 1.0), abs=1e-12)
    assert formulas.tango(0, n, n, 0.05) == pytest.approx((-1.0, -(n - z2) / (n + z2)), abs=1e-12)


def test_sign_flips_are_counted_exactly() -> None:
    # Darwin's maize: 15 differences, by enumeration of all 32,768 sign patterns.
    maize = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert formulas.sign_flip_exact([Fraction(value) for value in maize]) == pytest.approx(0.0526733, abs=1e-7)
    assert formulas.sign_flip_exact([Fraction(1, 3), Fraction(2, 3)]) == 0.5


def test_adjusted_p_values_agree_with_statsmodels() -> None:
    values = [0.0298, 0.0001, 0.0344, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0459, 0.324, 1.0, 0.4262, 0.0001]
    assert formulas.holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert formulas.benjamini_hochberg(values) == pytest.approx(multipletests(values, method="fdr_bh")[1])


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0.06, 0.12, "better_by_more_than_margin"),
        (0.01, 0.09, "better"),
        (0.01, 0.04, "better_within_margin"),
        (-0.03, 0.04, "equivalent"),
        (-0.03, 0.09, "not_worse_by_more_than_margin"),
        (-0.04, -0.01, "worse_within_margin"),
        (-0.12, -0.01, "worse"),
        (-0.12, -0.06, "worse_by_more_than_margin"),
        (-0.2, 0.2, "not_enough_data"),
    ],
)
def test_the_conclusion_follows_the_interval(low: float, high: float, kind: str) -> None:
    assert formulas.conclusion_kind(low, high, 0.05) == kind


def test_a_tie_of_the_bootstrap_counts_even_where_doubles_miss_it() -> None:
    # 1/3 - 1/2 = -1/6; of the resamples 1/3 - 2/3 and 2/3 - 2/3 lie exactly 1/6 away, 0.4 - 0.5 does not.
    exact = [Fraction(1, 3) - Fraction(2, 3), Fraction(2, 3) - Fraction(2, 3), Fraction(2, 5) - Fraction(1, 2)]
    drawn = np.array([1 / 3 - 2 / 3, 2 / 3 - 2 / 3, 2 / 5 - 1 / 2])
    p = formulas.bootstrap_p(drawn, exact.__getitem__, Fraction(1, 3) - Fraction(1, 2))
    assert p == (1 + 2) / (3 + 1)
