"""The forecast against Hahn and Meeker's formula worked by hand, and against draws."""

import numpy as np
import pytest

from apps.billing.engine.forecast import month_forecast


def test_it_is_the_interval_of_the_textbook() -> None:
    """Five days of mean 100 and deviation sqrt(250); t(4) at 0.975 is 2.776445 (any printed table: 2.776)."""
    found = month_forecast(
        spent_nanousd=500, before_today_nanousd=500, complete_days=[80, 90, 100, 110, 120], days_left=4
    )
    half = 2.776445 * 250**0.5 * (4 + 16 / 5) ** 0.5
    assert found is not None
    assert found.value_nanousd == 900
    assert (found.low_nanousd, found.high_nanousd) == (int(900 - half) + 1, int(900 + half) + 1)
    assert found.days == 5


def test_it_holds_what_it_says_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(20261130)
    days = random.normal(1e9, 2e8, size=(4000, 22)).round().astype(int)
    held = 0
    for seen, later in zip(days[:, :12].tolist(), days[:, 12:].tolist(), strict=True):
        before = sum(seen)
        found = month_forecast(
            spent_nanousd=before, before_today_nanousd=before, complete_days=seen, days_left=len(later)
        )
        assert found is not None
        held += found.low_nanousd <= before + sum(later) <= found.high_nanousd
    assert held / 4000 == pytest.approx(0.95, abs=0.012)


def test_no_end_lies_below_what_is_spent_and_few_days_give_none() -> None:
    uneven = month_forecast(spent_nanousd=700, before_today_nanousd=500, complete_days=[0, 0, 0, 0, 500], days_left=2)
    assert uneven is not None
    assert (uneven.low_nanousd, uneven.value_nanousd) == (700, 700)
    assert month_forecast(spent_nanousd=9, before_today_nanousd=9, complete_days=[1, 2, 3, 3], days_left=9) is None


def test_days_without_spread_leave_nothing_open() -> None:
    found = month_forecast(spent_nanousd=70, before_today_nanousd=70, complete_days=[10] * 7, days_left=3)
    assert found is not None
    assert (found.low_nanousd, found.value_nanousd, found.high_nanousd) == (100, 100, 100)
