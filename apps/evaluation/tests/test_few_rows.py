"""What a small test cannot show, against the comparison that the report makes."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import multinomial

from apps.evaluation.engine.stats.mcnemar import mcnemar_exact
from apps.evaluation.engine.stats.tango import tango
from apps.experiments.engine.resolution import least_discordant, smallest_detectable
from apps.experiments.reports import few_test_text

ALPHA = 0.05
# Test rows, and the points in the sentence; that they are right is for the simulation to say.
SIZES = {12: 57, 30: 25, 49: 15}


@cache
def claimed(b: int, c: int, n: int) -> bool:
    """Whether the report would claim a difference from these discordant pairs, with one comparison in the family."""
    return mcnemar_exact(b=b, c=c, n=n).p <= ALPHA and tango(b=b, c=c, n=n, alpha=ALPHA).low > 0


def power(n: int, difference: float, *, discordant: float) -> float:
    """Exact probability of the claim: the pairs are multinomial with these two discordant shares."""
    pairs = [(b, c, n - b - c) for b in range(n + 1) for c in range(min(b, n - b + 1)) if claimed(b, c, n)]
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    return float(multinomial.pmf(pairs, n, shares).sum())


@pytest.mark.parametrize(("n", "points"), SIZES.items())
def test_the_points_that_are_said_are_those_of_a_simulated_comparison(n: int, points: int) -> None:
    difference = smallest_detectable(n, alpha=ALPHA)
    assert difference is not None
    drawn = np.random.default_rng(7).binomial(n, difference, size=20_000)

    found = np.mean([claimed(int(b), 0, n) for b in drawn])

    assert found == pytest.approx(0.8, abs=0.01)
    assert f"less than {points} percentage points" in few_test_text(n)
    assert f"With {n} test rows" in few_test_text(n)


@pytest.mark.parametrize("n", SIZES)
def test_more_disagreement_never_shows_a_smaller_difference(n: int) -> None:
    difference = smallest_detectable(n, alpha=ALPHA)
    assert difference is not None

    found = [power(n, difference, discordant=share) for share in np.linspace(difference, 1, 6)]

    assert found[0] == pytest.approx(0.8, abs=1e-4)
    assert all(later < found[0] for later in found[1:])


def test_so_few_rows_that_nothing_can_be_shown_are_told_so() -> None:
    assert least_discordant(ALPHA) == 6
    assert claimed(6, 0, 6)
    assert not claimed(5, 0, 5)
    assert smallest_detectable(5, alpha=ALPHA) is None
    assert "no difference between candidates can be shown" in few_test_text(5)
    assert "less than 96 percentage points" in few_test_text(6)


def test_a_stricter_level_needs_more_and_enough_rows_need_no_word() -> None:
    assert "level 0.01" in few_test_text(30, alpha=0.01)
    assert "less than 32 percentage points" in few_test_text(30, alpha=0.01)
    assert few_test_text(50) == ""
    assert "No row is in the test split" in few_test_text(0)
