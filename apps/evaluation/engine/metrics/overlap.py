"""How much two texts have in common: word F1, ROUGE-L, character n-grams.

The two that have a well-known implementation are held against it in tests: ROUGE-L against rouge_score 0.1.2, whose
table of the longest common subsequence takes seconds for a long text, and chrF against sacrebleu 2.6.0, which has no
form for resamples.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from apps.evaluation.engine.metrics.text import fold, has_letters_beyond_latin, unicode_words
from apps.evaluation.engine.stats.bootstrap import Floats

CHRF_ORDER = 6
_BETA_SQUARED = 4


def token_f1(expected: str, text: str) -> float:
    """F1 of the multisets of words: 2·common / (words + words)."""
    gold, given = Counter(unicode_words(expected)), Counter(unicode_words(text))
    return _f1((gold & given).total(), gold.total(), given.total(), expected, text)


def rouge_l(expected: str, text: str) -> float:
    """ROUGE-L F of one pair (Lin 2004): 2·LCS / (words + words), without stemming.

    Words are those of rouge_score (runs of a-z and 0-9 in lower case) while the expected answer has no letter but
    Latin ones and at least one such word; else Unicode words, as rouge_score would see next to nothing.
    """
    own = not has_letters_beyond_latin(expected) and bool(_latin_words(expected))
    gold, given = (_latin_words(side) if own else unicode_words(side) for side in (expected, text))
    return _f1(lcs_length(gold, given), len(gold), len(given), expected, text)


def lcs_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): a zero bit for each word of it."""
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    row = everything = (1 << len(left)) - 1
    for word in right:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & everything
    return len(left) - row.bit_count()


def chrf_counts(expected: str, text: str) -> tuple[int, ...]:
    """For each order 1 to 6 in turn the character n-grams of the output, of the expected answer, and in both.

    White space is left out, case is kept. As in sacrebleu, an order that the expected answer is too short for counts
    no n-gram of the output either.
    """
    gold, given = "".join(expected.split()), "".join(text.split())
    counts: list[int] = []
    for order in range(1, CHRF_ORDER + 1):
        in_gold, in_given = _ngrams(gold, order), _ngrams(given, order)
        total = in_gold.total()
        counts += [in_given.total() if total else 0, total, (in_gold & in_given).total()]
    return tuple(counts)


def chrf_of(sums: Floats) -> Floats:
    """chrF (Popović 2015, β = 2) between 0 and 1 of (…, 18) summed counts.

    Precision and recall are averaged over the orders in which both sides have n-grams; 0 where there is none.
    """
    given, gold, common = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    used = (given > 0) & (gold > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = np.divide(common, given, out=np.zeros_like(common), where=used).sum(axis=-1) / orders
    recall = np.divide(common, gold, out=np.zeros_like(common), where=used).sum(axis=-1) / orders
    weighted = _BETA_SQUARED * precision + recall
    product = (1 + _BETA_SQUARED) * precision * recall
    return np.divide(product, weighted, out=np.zeros_like(weighted), where=weighted > 0)


def _f1(common: int, left: int, right: int, expected: str, text: str) -> float:
    """Texts without any word, such as signs alone, are compared as they stand instead of scoring 0."""
    if left + right == 0:
        return float(fold(expected) == fold(text))
    return 2 * common / (left + right)


def _latin_words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
