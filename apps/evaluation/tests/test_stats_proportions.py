"""Wilson, McNemar and Tango against statsmodels, published figures and closed forms."""

import json
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from apps.evaluation.engine.stats.mcnemar import mcnemar_exact
from apps.evaluation.engine.stats.tango import tango
from apps.evaluation.engine.stats.wilson import wilson

VECTORS = json.loads((Path(__file__).parent / "vectors" / "statistics.json").read_text())
alphas = st.sampled_from([0.01, 0.05, 0.1, 0.32])


@st.composite
def discordant(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 400))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


def test_wilson_agrees_with_the_vectors() -> None:
    first, second = VECTORS["wilson"]["cases"]
    result = wilson(successes=first["successes"], n=first["n"], alpha=0.05)
    assert [result.low, result.high] == pytest.approx(first["ci95"], abs=1e-6)
    assert wilson(successes=second["successes"], n=second["n"], alpha=0.05).low == pytest.approx(
        second["lower"], abs=1e-6
    )


@given(st.integers(1, 2000), st.floats(0, 1), alphas)
def test_wilson_agrees_with_statsmodels_and_holds_its_estimate(n: int, share: float, alpha: float) -> None:
    successes = round(share * n)
    result = wilson(successes=successes, n=n, alpha=alpha)
    assert (result.low, result.high) == pytest.approx(
        proportion_confint(successes, n, alpha=alpha, method="wilson"), abs=1e-12
    )
    assert result.low is not None
    assert result.high is not None
    assert 0 <= result.low <= successes / n <= result.high <= 1


def test_no_units_give_no_figures() -> None:
    assert wilson(successes=0, n=0, alpha=0.05).low is None
    assert tango(b=0, c=0, n=0, alpha=0.05).estimate is None


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_an_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        wilson(successes=1, n=2, alpha=alpha)


@pytest.mark.parametrize("case", VECTORS["mcnemar_exact"]["cases"], ids=str)
def test_mcnemar_agrees_with_the_vectors(case: dict) -> None:
    assert mcnemar_exact(b=case["b"], c=case["c"], n=500).p == pytest.approx(case["p"], rel=1e-6)


@given(discordant())
def test_mcnemar_agrees_with_the_binomial_test_and_with_statsmodels(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    p = mcnemar_exact(b=b, c=c, n=n).p
    assert p == pytest.approx(statsmodels_mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1.0, rel=1e-9)
    assert p == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1.0, rel=1e-9)
    assert p == mcnemar_exact(b=c, c=b, n=n).p


def test_more_discordant_pairs_than_units_are_refused() -> None:
    with pytest.raises(ValueError, match="within n"):
        mcnemar_exact(b=3, c=3, n=5)
    with pytest.raises(ValueError, match="within n"):
        tango(b=3, c=3, n=5, alpha=0.05)


def test_tango_agrees_with_the_published_airway_example() -> None:
    # Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875, table of 21 children: (1, 1, 7, 12).
    result = tango(b=1, c=7, n=21, alpha=0.05)
    assert [result.estimate, result.low, result.high] == pytest.approx([-0.286, -0.517, -0.026], abs=5e-4)


@pytest.mark.parametrize("n", [1, 2, 20, 223, 100_000])
def test_tango_has_its_closed_form_where_pairs_are_one_sided_or_missing(n: int) -> None:
    z2 = norm.isf(0.025) ** 2
    none = tango(b=0, c=0, n=n, alpha=0.05)
    assert [none.low, none.high] == pytest.approx([-z2 / (n + z2), z2 / (n + z2)], abs=1e-12)
    every = tango(b=n, c=0, n=n, alpha=0.05)
    assert [every.low, every.high] == pytest.approx([(n - z2) / (n + z2), 1.0], abs=1e-9)
    assert tango(b=0, c=n, n=n, alpha=0.05).low == -1.0


@given(discordant(), alphas)
@settings(deadline=None)
def test_tango_holds_its_estimate_and_mirrors_when_the_sides_are_exchanged(
    counts: tuple[int, int, int], alpha: float
) -> None:
    b, c, n = counts
    forward, backward = tango(b=b, c=c, n=n, alpha=alpha), tango(b=c, c=b, n=n, alpha=alpha)
    assert forward.low is not None
    assert forward.high is not None
    assert -1 <= forward.low <= (b - c) / n <= forward.high <= 1
    assert (forward.low, forward.high) == (-(backward.high or 0.0), -(backward.low or 0.0))


@given(discordant())
@settings(deadline=None)
def test_at_tangos_bounds_the_score_statistic_equals_z(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    result = tango(b=b, c=c, n=n, alpha=0.05)
    for bound in (result.low, result.high):
        assert bound is not None
        if abs(bound) < 0.999:
            assert abs(_score(bound, b, c, n)) == pytest.approx(norm.isf(0.025), rel=1e-6)


def _score(delta: float, b: int, c: int, n: int) -> float:
    """Tango's statistic with the restricted estimate found by maximising the likelihood, not by his formula."""
    low, high = max(0.0, -delta), (1 - delta) / 2
    for _ in range(200):
        share = (low + high) / 2
        rest = 1 - 2 * share - delta
        slope = (
            (b / (share + delta) if b else 0)
            + (c / share if c else 0)
            - (2 * (n - b - c) / rest if n > b + c and rest > 0 else 0)
        )
        low, high = (share, high) if slope > 0 else (low, share)
    share = (low + high) / 2
    return (b - c - n * delta) / sqrt(n * (2 * share + delta * (1 - delta)))
