"""Bootstrap, sign flips, quantiles, multiplicity and sample size against libraries, vectors and brute force."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap, ttest_1samp
from scipy.stats import false_discovery_control as scipy_bh
from statsmodels.stats.multitest import multipletests

from apps.evaluation.engine.stats import bootstrap as module
from apps.evaluation.engine.stats.bootstrap import (
    Resampler,
    bootstrap_difference,
    bootstrap_estimate,
    micro_f1_of,
    ratio_of,
)
from apps.evaluation.engine.stats.multiplicity import benjamini_hochberg, holm
from apps.evaluation.engine.stats.paired_mean import mean_t, paired_mean
from apps.evaluation.engine.stats.power import examples_needed
from apps.evaluation.engine.stats.quantile import quantile

VECTORS = json.loads((Path(__file__).parent / "vectors" / "statistics.json").read_text())
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def _counts(n: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    gold = generator.integers(1, 9, size=n)
    predicted = generator.integers(0, 9, size=n)
    return np.stack([generator.integers(0, np.minimum(gold, predicted) + 1), predicted, gold], axis=1)


def test_totals_are_those_of_the_documented_draws() -> None:
    counts = _counts(37)
    draws = np.random.Generator(np.random.PCG64(5)).integers(0, 37, size=(999, 37))
    assert (Resampler(37, 5, 999).totals(counts) == counts[draws].sum(axis=1)).all()


def test_blocks_of_rows_draw_what_one_call_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = _counts(37)
    whole = Resampler(37, 5, 999).totals(counts)
    monkeypatch.setattr(module, "_CHUNK_CELLS", 37 * 10)
    monkeypatch.setattr(module, "_CACHE_CELLS", 0)
    assert (Resampler(37, 5, 999).totals(counts) == whole).all()


def test_the_interval_of_a_mean_agrees_with_scipy_within_resampling_error() -> None:
    values = _counts(200)[:, 1]
    totals = Resampler(200, 1).totals(np.stack([values, np.ones_like(values)], axis=1))
    ours = bootstrap_estimate(estimate=float(values.mean()), replicates=ratio_of(totals), n=200, alpha=0.05)
    theirs = bootstrap((values,), np.mean, n_resamples=9_999, method="percentile", rng=2).confidence_interval
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.02)


def test_the_difference_is_computed_as_documented() -> None:
    left, right = _counts(60, 1), _counts(60, 2)
    draws = np.random.Generator(np.random.PCG64(9)).integers(0, 60, size=(999, 60))

    def f1(counts: np.ndarray) -> float:
        tp, predicted, gold = counts.sum(axis=0)
        return 2 * tp / (predicted + gold)

    differences = np.array([f1(left[row]) - f1(right[row]) for row in draws])
    observed = f1(left) - f1(right)
    resampler = Resampler(60, 9, 999)
    result = bootstrap_difference(
        candidate=f1(left),
        reference=f1(right),
        candidate_replicates=micro_f1_of(resampler.totals(left)),
        reference_replicates=micro_f1_of(resampler.totals(right)),
        n=60,
        alpha=0.05,
    )
    assert result.p == (1 + np.sum(np.abs(differences - observed) >= abs(observed))) / 1000
    assert [result.low, result.high] == list(np.quantile(differences, [0.025, 0.975]))


@given(st.integers(0, 50), st.integers(0, 50))
@settings(deadline=None, max_examples=25)
def test_differences_are_antisymmetric(left_seed: int, right_seed: int) -> None:
    resampler = Resampler(40, 3, 499)
    left, right = (micro_f1_of(resampler.totals(_counts(40, seed))) for seed in (left_seed, right_seed))
    estimates = [float(micro_f1_of(_counts(40, seed).sum(axis=0).astype(float))) for seed in (left_seed, right_seed)]
    forward, backward = (
        bootstrap_difference(
            candidate=pair[0][0],
            reference=pair[1][0],
            candidate_replicates=pair[0][1],
            reference_replicates=pair[1][1],
            n=40,
            alpha=0.1,
        )
        for pair in (((estimates[0], left), (estimates[1], right)), ((estimates[1], right), (estimates[0], left)))
    )
    assert forward.estimate == -(backward.estimate or 0.0)
    assert forward.p == backward.p
    assert forward.low == pytest.approx(-(backward.high or 0.0), abs=1e-12)


def test_two_equal_candidates_do_not_differ() -> None:
    replicates = micro_f1_of(Resampler(40, 3, 499).totals(_counts(40)))
    result = bootstrap_difference(
        candidate=0.5, reference=0.5, candidate_replicates=replicates, reference_replicates=replicates, n=40, alpha=0.05
    )
    assert (result.estimate, result.low, result.high, result.p) == (0.0, 0.0, 0.0, 1.0)


def test_no_pairs_on_either_side_of_a_resample_score_one() -> None:
    assert micro_f1_of(np.array([[0.0, 0.0, 0.0], [0.0, 2.0, 2.0]])).tolist() == [1.0, 0.0]


def test_paired_means_agree_with_the_vectors() -> None:
    vector = VECTORS["paired_continuous"]
    differences = np.array(vector["differences"], dtype=float)
    result = paired_mean(differences, alpha=0.05, seed=1, resamples=9_999)
    assert result.p == pytest.approx(vector["sign_flip_p"], abs=1e-6)
    interval = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert [result.low, result.high] == pytest.approx([interval.low, interval.high])
    at_p = mean_t(differences, alpha=vector["t_p"])
    assert at_p.low == pytest.approx(0, abs=1e-4)


def test_sampled_sign_flips_come_close_to_all_of_them() -> None:
    differences = np.random.default_rng(4).normal(0.4, 1, size=17)
    signs = np.array(np.meshgrid(*[[1.0, -1.0]] * 17)).reshape(17, -1)
    exact = np.mean(np.abs(differences @ signs) >= abs(differences.sum()) - 1e-9)
    sampled = paired_mean(differences, alpha=0.05, seed=1, resamples=9_999)
    assert sampled.p == pytest.approx(exact, abs=0.015)
    assert sampled.test == "sign-flip test, sampled flips"


def test_holm_and_benjamini_hochberg_reject_what_the_published_table_says() -> None:
    vector = VECTORS["multiplicity"]
    assert sum(p <= 0.05 for p in holm(vector["p"])) == vector["rejections"]["holm"]
    assert sum(p <= 0.05 for p in benjamini_hochberg(vector["p"])) == vector["rejections"]["bh"]


@settings(max_examples=6)  # the library takes most of a second for each
@given(p_values)
def test_adjusted_p_values_agree_with_libraries(values: list[float]) -> None:
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert benjamini_hochberg(values) == pytest.approx(scipy_bh(values))


@given(p_values)
def test_adjusting_keeps_the_order_and_never_lowers_a_p_value(values: list[float]) -> None:
    for adjusted in (holm(values), benjamini_hochberg(values)):
        ordered = [adjusted[index] for index in sorted(range(len(values)), key=values.__getitem__)]
        assert ordered == sorted(ordered)
        assert all(after >= before - 1e-12 for before, after in zip(values, adjusted, strict=True))


def test_an_impossible_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.95]))
def test_quantiles_agree_with_numpy_and_lie_in_their_interval(values: list[float], q: float) -> None:
    result = quantile(values, q=q, alpha=0.05)
    assert result.estimate == pytest.approx(float(np.quantile(values, q)))
    assert result.n == len(values)
    assert result.low is None or result.low <= (result.estimate or 0.0) + 1e-6
    assert result.high is None or result.high >= (result.estimate or 0.0) - 1e-6


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("n", [10, 71, 73, 223])
def test_order_statistic_bounds_are_the_tightest_that_cover(n: int, q: float) -> None:
    result = quantile([float(rank) for rank in range(1, n + 1)], q=q, alpha=0.05)
    if result.low is not None:
        assert binom.cdf(result.low - 1, n, q) <= 0.025 < binom.cdf(result.low, n, q)
    if result.high is None:
        assert binom.sf(n - 1, n, q) > 0.025
    else:
        assert binom.sf(result.high - 1, n, q) <= 0.025 < binom.sf(result.high - 2, n, q)


def test_more_examples_decide_an_undecided_comparison_at_the_promised_rate() -> None:
    size = examples_needed(difference=0.0, low=-0.1, high=0.1, n=100, margin=0.05, alpha=0.05)
    # By definition: (1.95996 + 0.84162)^2 * sd^2 / margin^2 with sd = 0.1 / 1.95996 * sqrt(100).
    assert size.estimate == 818
    assert size.more == 718
    spread = 0.1 / 1.95996 * 10
    means = np.random.default_rng(1).normal(0, spread / np.sqrt(size.estimate), size=20_000)
    decided = np.mean(means - 1.95996 * spread / np.sqrt(size.estimate) > -0.05)
    assert decided == pytest.approx(0.8, abs=0.02)


def test_a_sample_size_needs_an_interval_and_a_margin() -> None:
    with pytest.raises(ValueError, match="margin"):
        examples_needed(difference=0.0, low=-0.1, high=0.1, n=100, margin=0.0, alpha=0.05)


def test_a_candidate_that_looks_worse_is_decided_by_falling_below_zero() -> None:
    size = examples_needed(difference=-0.2, low=-0.45, high=0.05, n=100, margin=0.05, alpha=0.05)
    # By definition, with sd = 0.25 / 1.95996 * sqrt(100) and the distance 0.2 to zero: (2.80159 * 1.27554 / 0.2)^2.
    assert size.estimate == 320
