"""Answers in free text: token F1, exact match, chrF, ROUGE-L."""

from dataclasses import dataclass

from apps.core.engine.messages import gettext_noop
from apps.evaluation.engine.metrics.base import Metric, Scoring
from apps.evaluation.engine.metrics.overlap import CHRF_ORDER, chrf_counts, chrf_of, rouge_l, token_f1
from apps.evaluation.engine.metrics.text import fold


@dataclass(frozen=True)
class TextScore:
    """Any text but an empty one is a valid answer. `chrf` holds the counts of n-grams."""

    valid: bool
    exact: bool
    token_f1: float
    rouge_l: float
    chrf: tuple[int, ...]

    def as_json(self) -> dict[str, object]:
        return {"valid": self.valid, "exact": self.exact, "token_f1": self.token_f1, "rouge_l": self.rouge_l}


def score_text(expected: str, text: str | None) -> TextScore:
    """Score one output against the expected answer; no output counts as an empty one, which is never right."""
    if not expected.strip():
        raise ValueError("The expected answer is empty.")
    given = text or ""
    return TextScore(
        valid=bool(given.strip()),
        exact=fold(given) == fold(expected),
        token_f1=token_f1(expected, given),
        rouge_l=rouge_l(expected, given),
        chrf=chrf_counts(expected, given),
    )


TOKEN_F1 = Metric(
    name="token_f1",
    label=gettext_noop("token F1"),
    version=1,
    signature=(
        "token_f1|v:1|average:examples|words:letters+marks+digits,each-letter-where-no-spaces|fold:nfc+casefold"
        "|pairs:multiset|punctuation:dropped"
    ),
    unit="",
    kind="mean",
    higher_is_better=True,
    help=gettext_noop(
        "Mean over examples of 2·common / (words of the answer + words of the expected one), words as a multiset after"
        " Unicode normalisation and case folding, punctuation dropped. In scripts without spaces each letter is a word."
    ),
    counts=lambda score: (score.token_f1, 1),
)
EXACT_MATCH = Metric(
    name="exact_match",
    label=gettext_noop("exact match"),
    version=1,
    signature="exact_match|v:1|format:text|fold:nfc+space|case:kept|punctuation:kept",
    unit="",
    kind="binary",
    higher_is_better=True,
    help=gettext_noop(
        "Share of answers that equal the expected text after Unicode normalisation and space folding; case and"
        " punctuation count."
    ),
    counts=lambda score: (int(score.exact), 1),
)
CHRF = Metric(
    name="chrf",
    label="chrF",
    version=1,
    # The middle is sacrebleu's own signature.
    signature="chrf|v:1|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0|scale:0-1",
    unit="",
    kind="corpus",
    higher_is_better=True,
    help=gettext_noop(
        "Character n-grams of lengths 1 to 6 that answers and expected ones have in common, recall counted twice as"
        " much as precision, over all examples together: sacrebleu's corpus chrF2 divided by 100."
    ),
    counts=lambda score: score.chrf,
    width=3 * CHRF_ORDER,
    corpus=chrf_of,
    formula=(
        "chrF of a resample = 5*P*R / (4*P + R) of the sums over its units, P and R the means of common / given and"
        " common / expected over the n-gram orders in which both have any, 0 if there is none"
    ),
)
ROUGE_L = Metric(
    name="rouge_l",
    label="ROUGE-L",
    version=1,
    signature="rouge_l|v:1|rouge_score:0.1.2|stemmer:no|average:examples:f|words:a-z0-9,unicode-if-not-latin",
    unit="",
    kind="mean",
    higher_is_better=True,
    help=gettext_noop(
        "Mean over examples of the F of the longest common subsequence of words, as rouge_score computes it without"
        " stemming. Where the expected answer has letters other than Latin ones, words are split by Unicode instead."
    ),
    counts=lambda score: (score.rouge_l, 1),
)
SCORING = Scoring(
    format="text",
    metrics={metric.name: metric for metric in (TOKEN_F1, EXACT_MATCH, CHRF, ROUGE_L)},
    primary="token_f1",
    score=score_text,
)
