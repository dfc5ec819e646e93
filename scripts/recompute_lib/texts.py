"""What two texts have in common, each measure from its published definition."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from scripts.recompute_lib.answers import fold

# Thai, Lao, Myanmar, Khmer, kana and Han are written without spaces: each letter is a word.
ALONE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
ORDERS = range(1, 7)


def unicode_words(text: str) -> list[str]:
    """Letters, marks and digits in runs after NFC and case folding; a letter of ALONE with its marks is a word."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    classes = "".join(_class(char) for char in folded)
    return [folded[found.start() : found.end()] for found in re.finditer(r"1M*|[WM]+", classes)]


def _class(char: str) -> str:
    group = unicodedata.category(char)[0]
    if group == "M":
        return "M"
    return " " if group not in "LN" else "1" if ALONE.match(char) else "W"


def latin_words(text: str) -> list[str]:
    """Lin 2004's words as rouge_score 0.1.2 splits them."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()


def is_latin(text: str) -> bool:
    """No letter of another script, and a word that rouge_score can see."""
    names = [unicodedata.name(char, "") for char in unicodedata.normalize("NFC", text) if char.isalpha()]
    return all(name.startswith("LATIN") for name in names) and latin_words(text) != []


def overlap(common: int, sizes: tuple[int, int], expected: str, text: str) -> Fraction:
    """2·common / (words + words); without any word the texts as they stand."""
    if sum(sizes) == 0:
        return Fraction(fold(expected) == fold(text))
    return Fraction(2 * common, sum(sizes))


def token_f1(expected: str, text: str) -> Fraction:
    gold, given = Counter(unicode_words(expected)), Counter(unicode_words(text))
    return overlap((gold & given).total(), (gold.total(), given.total()), expected, text)


def rouge_l(expected: str, text: str) -> Fraction:
    split = latin_words if is_latin(expected) else unicode_words
    gold, given = split(expected), split(text)
    return overlap(lcs(gold, given), (len(gold), len(given)), expected, text)


def lcs(left: Sequence[str], right: Sequence[str]) -> int:
    """Longest common subsequence by its table, one row at a time: the row's own maximum runs from the left."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*left, *right]))}
    columns = np.array([numbers[word] for word in right], dtype=np.int64)
    row = np.zeros(len(right) + 1, dtype=np.int64)
    for word in left:
        longer = np.maximum(row[1:], row[:-1] + (columns == numbers[word]))
        row[1:] = np.maximum.accumulate(longer) if len(longer) else longer
    return int(row[-1])


def chrf_counts(expected: str, text: str) -> tuple[int, ...]:
    """(n-grams of the output, of the expected answer, common) for each order, as sacrebleu counts them."""
    gold, given = "".join(expected.split()), "".join(text.split())
    counts: list[int] = []
    for order in ORDERS:
        wanted = Counter(gold[at : at + order] for at in range(len(gold) - order + 1))
        found = Counter(given[at : at + order] for at in range(len(given) - order + 1))
        common = sum(min(count, found[gram]) for gram, count in wanted.items())
        counts += [found.total() if wanted else 0, wanted.total(), common]
    return tuple(counts)


def chrf(sums: Sequence[int]) -> Fraction:
    """Popović 2015 with beta 2, over the orders in which both sides have n-grams."""
    used = [tuple(sums[at : at + 3]) for at in range(0, len(sums), 3) if sums[at] > 0 and sums[at + 1] > 0]
    if not used:
        return Fraction(0)
    precision = sum((Fraction(common, given) for given, _, common in used), Fraction(0)) / len(used)
    recall = sum((Fraction(common, gold) for _, gold, common in used), Fraction(0)) / len(used)
    return 5 * precision * recall / (4 * precision + recall) if precision + recall else Fraction(0)


def chrf_drawn(sums: np.ndarray) -> np.ndarray:
    """The same in doubles for every row of sums."""
    given, gold, common = (sums[:, start::3].astype(np.float64) for start in range(3))
    used = (given > 0) & (gold > 0)
    orders = np.where(used.any(axis=1), used.sum(axis=1), 1)
    precision = np.where(used, common / np.where(given > 0, given, 1), 0).sum(axis=1) / orders
    recall = np.where(used, common / np.where(gold > 0, gold, 1), 0).sum(axis=1) / orders
    bottom = 4 * precision + recall
    return np.where(bottom > 0, 5 * precision * recall / np.where(bottom > 0, bottom, 1), 0)
