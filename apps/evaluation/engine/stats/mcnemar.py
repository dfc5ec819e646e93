"""McNemar's exact test for two paired proportions."""

from scipy.special import bdtr

from apps.evaluation.engine.stats.result import PairedTest

METHOD = "exact McNemar test"
REFERENCE = "McNemar 1947, Psychometrika 12:153-157; two-sided exact binomial of the discordant pairs"


def mcnemar_exact(*, b: int, c: int, n: int) -> PairedTest:
    """Test that candidate and reference are right equally often.

    b: units where only the candidate is right; c: units where only the reference is right; n: all paired
    units. Under the null hypothesis b ~ Binomial(b + c, 1/2), so p = min(1, 2·P(X ≤ min(b, c))). Without
    discordant pairs p = 1. The estimate is (b − c) / n, 0 for n = 0.
    """
    if b < 0 or c < 0 or b + c > n:
        raise ValueError(f"discordant pairs must be counts within n, got b={b}, c={c}, n={n}")
    estimate = (b - c) / n if n else 0.0
    p = 1.0 if b + c == 0 else min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5)))
    return PairedTest(estimate, n, p, METHOD, REFERENCE)
