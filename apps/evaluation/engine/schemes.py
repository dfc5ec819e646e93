"""How figures are resampled and adjusted, in words that suffice to do it again."""

from apps.evaluation.engine.metrics import Scoring

_DRAWS = (
    "draws = numpy.random.Generator(numpy.random.PCG64(seed)).integers(0, n, size=(resamples, n)), n = number of"
    " examples, in the order of `examples`; row r of draws is resample r. The same draws serve every candidate, metric,"
    " cost and comparison. Repeats of an example are pooled. A unit that failed for infrastructure keeps its place and"
    " adds nothing."
)
_COST_AND_INTERVAL = (
    "cost = 1000 * (sum of cost / number of priced outputs), an output being priced if its cost is not null and"
    " infrastructure did not fail, a cached one at what its text cost when it was made, and one that never came from"
    " the candidate's own failure only if something was booked for it. A resample without a unit that has a figure, or"
    " without a priced output, is undefined and left out of interval and p. Interval = numpy.quantile (linear) at"
    " alpha/2 and 1 - alpha/2. Difference = candidate - reference within each resample;"
    " p = (1 + #{|d* - d| >= |d|}) / (number of defined resamples + 1), numbers that differ by rounding alone (1e-12)"
    " counted as equal."
)
_SIGN_FLIPS = (
    "A metric that is a mean over examples is compared by the differences of its unit means, over the k units that both"
    " sides have: signs = 2 * numpy.random.Generator(numpy.random.PCG64(seed)).integers(0, 2, size=(resamples, k)) - 1,"
    " up to 16 units every pattern of signs instead; p = the share of patterns whose |sum of signed differences| is at"
    " least the observed one's (1e-9 for rounding), for drawn patterns with 1 added to both counts."
)
MULTIPLICITY = (
    "p_adjusted: Holm over the declared family on the primary metric, a missing comparison counted with p = 1."
    " p_bh: Benjamini-Hochberg over all exploratory comparisons of the report."
)


def resampling_scheme(scoring: Scoring) -> str:
    """The scheme of a report whose answers have this format, with the formula of each of its corpus metrics."""
    metrics = scoring.metrics.values()
    formulas = [metric.formula for metric in metrics if metric.kind == "corpus"]
    flips = [_SIGN_FLIPS] if any(metric.kind == "mean" for metric in metrics) else []
    return " ".join([_DRAWS, "; ".join([*formulas, _COST_AND_INTERVAL]), *flips])
