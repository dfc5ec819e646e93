"""Numbers in the report's sentences: each must be a recomputed figure, rounded as the sentence rounds it."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

NUMBER = r"[+\u2212-]?\d+(?:\.\d+)?"
# Between a difference and its interval stands the metric's name, which may end in a digit ("F1").
EVIDENCE = re.compile(
    rf"(?<![\w.])({NUMBER})(?!\w)(?:[^()\d]|(?<=[A-Za-z])\d)*"
    rf"\(({NUMBER})% interval ({NUMBER}) to ({NUMBER}), n = (\d+)\)"
)
LOOSE = re.compile(rf"(?<![\w.])({NUMBER})(?!\w)")


@dataclass(frozen=True)
class Evidence:
    """What a sentence may quote: a difference, its interval and n, and whose it is."""

    candidate: str
    reference: str
    difference: float
    low: float
    high: float
    n: int


def without_names(text: str, names: Iterable[str]) -> str:
    """Candidates' names may hold digits."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "\u00b7")
    return text


def shows(token: str, value: float) -> bool:
    """Whether `token` is `value` rounded to as many decimals as it has."""
    plain = token.replace("\u2212", "-")
    decimals = len(plain.partition(".")[2])
    return abs(float(plain) - value) <= 0.5 * 10.0**-decimals * (1 + 1e-9) + 1e-12


def quotes(found: tuple[str, ...], evidence: Evidence, confidence: float) -> bool:
    """The five numbers of a quotation are this evidence, as it is or seen from the reference's side."""
    difference, level, low, high, n = found
    if not shows(level, confidence) or int(n) != evidence.n:
        return False
    sides = ((evidence.difference, evidence.low, evidence.high), (-evidence.difference, -evidence.high, -evidence.low))
    return any(
        all(shows(token, value) for token, value in zip((difference, low, high), side, strict=True)) for side in sides
    )


def sentence_problems(
    text: str,
    *,
    names: Sequence[str],
    evidence: Sequence[Evidence],
    confidence: float,
    loose: Sequence[float],
    must_quote: bool,
    verbatim: Collection[str] = (),
) -> list[str]:
    """Every quotation must be the evidence of a pair that the sentence names; every other number one of `loose`, as
    far as its decimals go, or written as in `verbatim`."""
    bare = without_names(text, names)
    quotations = [match.groups() for match in EVIDENCE.finditer(bare)]
    named = [item for item in evidence if item.candidate in text or item.reference in text]
    problems = [
        f"no figures of a pair it names are {' / '.join(found)}"
        for found in quotations
        if not any(quotes(found, item, confidence) for item in named)
    ]
    if must_quote and not quotations:
        problems.append("no difference with interval and n is quoted")
    for match in LOOSE.finditer(EVIDENCE.sub(" ", bare)):
        if match.group(1) not in verbatim and not any(shows(match.group(1), value) for value in loose):
            problems.append(f"the number {match.group(1)} is none of the recomputed figures")
    return problems
