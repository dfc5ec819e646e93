"""Which differences a test of a given size cannot show."""

from math import ceil, comb, floor, log2

from apps.core.engine.messages import Sentence, gettext_noop

# Below this many test rows every page says what the test cannot show.
FEW_TEST_ROWS = 50
POWER = 0.8
_PRECISION = 1e-6

_NO_ROW = gettext_noop("No row is in the test split, so no final test can be run. Add rows.")
_NO_DIFFERENCE = gettext_noop(
    "With so few test rows (%(n)s) no difference between candidates can be shown, however large: at level %(alpha)s it"
    " takes at least %(least)s rows on which only one of two is right. It can be run all the same; more rows help."
)
_FEW_ROWS = gettext_noop(
    "With %(n)s test rows, differences of less than %(points)s percentage points of right answers can hardly be shown:"
    " even where one candidate is right wherever the other is, the test finds them with a probability below %(power)s,"
    " and where each is right on rows that the other misses, less often still (exact McNemar test, two-sided, level"
    " %(alpha)s). It can be run all the same; more rows show smaller differences."
)


def least_discordant(alpha: float) -> int:
    """From how many rows on which only one candidate is right, and always the same one, a difference is significant.

    The two-sided p-value is then 2 · 0.5^m (McNemar 1947, Psychometrika 12:153-157; exact binomial of the pairs).
    """
    return ceil(log2(2 / alpha))


def smallest_detectable(n: int, *, alpha: float) -> float | None:
    """The smallest difference of two paired shares that a test of `n` rows shows with probability 0.8, at best.

    Best is that one candidate is right wherever the other is: then the rows on which they differ are Binomial(n, d),
    all speak for the same one, and the power is P(X ≥ `least_discordant`): the conditional power over the number of
    discordant pairs, as in Connor 1987, Biometrics 43:207-211. Any further disagreement lowers it. None where not even
    a difference of 1 is shown.
    """
    least = least_discordant(alpha)
    if n < least:
        return None
    low, high = 0.0, 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if _at_least(least, n, middle) >= POWER else (middle, high)
    return high


def few_rows_sentence(n: int, *, alpha: float = 0.05) -> Sentence | None:
    """What a test of `n` rows cannot show; None when there are enough for it to go without saying."""
    if n >= FEW_TEST_ROWS:
        return None
    if n == 0:
        return Sentence(_NO_ROW)
    difference = smallest_detectable(n, alpha=alpha)
    if difference is None:
        return Sentence(_NO_DIFFERENCE, n=n, alpha=f"{alpha:g}", least=least_discordant(alpha))
    # Rounded down, so that what is said holds for every smaller difference.
    return Sentence(_FEW_ROWS, n=n, points=floor(100 * difference), power=f"{POWER:g}", alpha=f"{alpha:g}")


def _at_least(least: int, n: int, share: float) -> float:
    """P(X ≥ least) of X ~ Binomial(n, share)."""
    return 1.0 - sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(least))
