"""What a month will have cost when it ends, from the days that are over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

# Of fewer days the spread is not known well enough for an interval that says anything.
LEAST_DAYS = 5
MOST_DAYS = 28
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Forecast:
    """Nano-dollars of the whole month, with the two-sided prediction interval, from `days` complete days."""

    value_nanousd: int
    low_nanousd: int
    high_nanousd: int
    days: int


def month_forecast(
    *, spent_nanousd: int, before_today_nanousd: int, complete_days: Sequence[int], days_left: int
) -> Forecast | None:
    """What was spent before today, and the sum of the `days_left` days that are not over, today being one of them.

    `complete_days` is what each of the last complete days cost, at most MOST_DAYS of them. Days are taken as alike and
    independent of each other. The interval for the sum of m further observations after n is
    m·x̄ ± t(n - 1)·s·sqrt(m + m²/n) (Hahn and Meeker, Statistical Intervals, 1991, section 4.7, times m). No end of it
    lies below `spent_nanousd`, what the month has cost up to now. None with fewer than LEAST_DAYS days.
    """
    days = list(complete_days)[-MOST_DAYS:]
    n, m = len(days), days_left
    if n < LEAST_DAYS or m < 1:
        return None
    mean = math.fsum(days) / n
    deviation = math.sqrt(math.fsum((day - mean) ** 2 for day in days) / (n - 1))
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * deviation * math.sqrt(m + m * m / n)
    centre = before_today_nanousd + m * mean

    def at_least_spent(value: float) -> int:
        return max(spent_nanousd, math.ceil(value))

    return Forecast(at_least_spent(centre), at_least_spent(centre - half), at_least_spent(centre + half), n)
