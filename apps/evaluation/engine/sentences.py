"""The conclusion in words: one sentence with difference, interval and n, and the notes that belong to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apps.core.engine.messages import Translate, gettext_noop
from apps.evaluation.engine.compare import Comparison
from apps.evaluation.engine.conclusion import (
    BETTER,
    NO_WINNER,
    REFERENCE_BEST,
    WORSE,
    Recommendation,
    constant_bar,
    is_claimed,
    kind_of,
    level_constants,
)
from apps.evaluation.engine.metrics import Metric
from apps.evaluation.engine.units import CandidateUnits

KIND_PHRASES: dict[str, str] = {
    "better_by_more_than_margin": gettext_noop("better by more than what matters (%(margin)s)"),
    "better": gettext_noop("better"),
    "better_within_margin": gettext_noop("better, by less than what matters (%(margin)s)"),
    "worse_by_more_than_margin": gettext_noop("worse by more than what matters (%(margin)s)"),
    "worse": gettext_noop("worse"),
    "worse_within_margin": gettext_noop("worse, by less than what matters (%(margin)s)"),
    "equivalent": gettext_noop("equivalent: the difference is smaller than what matters (%(margin)s)"),
    "not_worse_by_more_than_margin": gettext_noop("not worse by more than what matters (%(margin)s)"),
    "not_enough_data": gettext_noop("not enough data to tell"),
}
INTERVAL = gettext_noop("%(difference)s %(metric)s (%(level)s%% interval %(low)s to %(high)s, n = %(n)s)")
COMPARISON = gettext_noop("%(candidate)s against %(reference)s: %(phrase)s; %(evidence)s.")
PHRASE_UNCLAIMED = gettext_noop(
    "%(phrase)s by its own interval, but not claimed after Holm's correction (adjusted p = %(p_adjusted)s)"
)
COMPARISON_MISSING = gettext_noop("%(candidate)s against %(reference)s: no figures yet.")

REFERENCE_LEADS = gettext_noop(
    "%(recommended)s is the one to ship: it leads the closest other candidate, %(rival)s, by %(evidence)s."
)
REFERENCE_STAYS = gettext_noop(
    "%(recommended)s stays the choice: no other candidate has shown that it is not worse by more than what matters"
    " (%(margin)s); the closest, %(rival)s, differs by %(evidence)s."
)
REFERENCE_CHEAPER = gettext_noop(
    "%(recommended)s is the one to ship: others qualify, but it costs less; the closest, %(rival)s, differs by"
    " %(evidence)s."
)
REFERENCE_LEVEL = gettext_noop(
    "%(recommended)s is what remains, not what has been shown to be better: %(rival)s, which gives the same output for"
    " every example and is never recommended, is not worse by more than what matters (%(margin)s); it differs by"
    " %(evidence)s."
)
REFERENCE_TIED = gettext_noop(
    "%(recommended)s or %(also)s: both qualify and their costs cannot be told apart; %(rival)s differs by %(evidence)s."
)
REFERENCE_ALONE = gettext_noop(
    "%(recommended)s is the only candidate with figures: there is nothing to compare it with."
)
OTHER_WINS = gettext_noop(
    "%(recommended)s is the one to ship: it is the cheapest that qualifies, and against %(reference)s it is %(phrase)s;"
    " %(evidence)s."
)
OTHER_TIED = gettext_noop(
    "%(recommended)s or %(also)s: their costs cannot be told apart; against %(reference)s, %(recommended)s is"
    " %(phrase)s; %(evidence)s."
)
NOBODY = gettext_noop("No candidate is recommended: %(reason)s.")
REASON_CONSTANT = gettext_noop(
    "%(reference)s gives the same output for every example, and no other candidate qualifies"
)
REASON_NO_FIGURES = gettext_noop("%(reference)s has no figures, and no other candidate qualifies")
REASON_BEATEN = gettext_noop(
    "%(candidate)s, which gives the same output for every example, is better than %(reference)s by %(evidence)s, and no"
    " other candidate qualifies"
)
MORE_DATA = gettext_noop("Deciding it would probably take at least %(more)s more examples.")
MORE_DATA_COST = gettext_noop("Deciding it would probably take at least %(more)s more examples and $%(cost)s.")
NO_MODEL_NEEDED = gettext_noop("No model is needed, a free baseline wins: %(sentence)s")

NOTE_CONSTANT = gettext_noop("%(candidate)s gives the same output for every example; it is never recommended.")
NOTE_CONSTANT_LEVEL = gettext_noop(
    "%(candidate)s gives the same output for every example; it is never recommended, although it is not worse than"
    " %(reference)s by more than what matters (%(margin)s): %(evidence)s."
)
NOTE_PRICE_HOLDS = gettext_noop("Costs rest on an assumed price; half or twice that price does not change the winner.")
NOTE_PRICE_CHANGES = gettext_noop("Costs rest on an assumed price; half or twice that price changes the winner.")
NOTE_DROPPED = gettext_noop(
    "%(candidate)s against %(reference)s: %(dropped)s of %(total)s pairs were dropped after infrastructure failures;"
    " the difference lies between %(worst)s and %(best)s in the worst and best case."
)
NOTE_BASELINE = gettext_noop("%(candidate)s, a free baseline, is better than %(reference)s: %(evidence)s.")

NOTE_TRUNCATED = gettext_noop(
    "%(count)s of %(total)s answers of %(candidate)s ended at the limit of %(limit)s tokens; they count as they stand."
)
NOTE_LOOKS = gettext_noop(
    "The test rows of this dataset were looked at %(total)s times, %(others)s of them for other experiments."
)


@dataclass(frozen=True)
class Conclusion:
    """What to ship and why. `params` are the values inside `text`, for pages that compose it differently."""

    kind: str
    recommended: str | None
    text: str
    params: Mapping[str, str]
    also: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Wording:
    """What every sentence needs to know: the question's constants, its metrics, who is a baseline, and the language."""

    reference: str
    margin: float
    alpha: float
    metrics: Mapping[str, Metric]
    baselines: frozenset[str]
    translate: Translate

    def say(self, template: str, **params: str) -> str:
        """The translated template with its named values."""
        return self.translate(template) % params

    def phrase(self, kind: str) -> str:
        """A comparison kind in words."""
        return self.say(KIND_PHRASES[kind], margin=f"{self.margin:g}")

    def found(self, comparison: Comparison) -> str:
        """What a comparison found, in words that claim a difference only if its adjusted p-value allows it."""
        kind = kind_of(comparison, margin=self.margin)
        phrase = self.phrase(kind)
        if kind not in BETTER | WORSE or is_claimed(comparison, margin=self.margin, alpha=self.alpha):
            return phrase
        adjusted = comparison.p_adjusted
        return self.say(PHRASE_UNCLAIMED, phrase=phrase, p_adjusted="?" if adjusted is None else f"{adjusted:.3g}")

    def evidence(self, comparison: Comparison, *, lead: bool = False) -> str:
        """Difference, interval and n; as a lead, that of the reference over the candidate and without plus signs."""
        result = comparison.result
        if result is None or result.estimate is None or result.low is None or result.high is None:
            return self.phrase("not_enough_data")
        low, high = (-result.high, -result.low) if lead else (result.low, result.high)
        shown = signed if not lead else lambda value: signed(value).removeprefix("+")
        return self.say(
            INTERVAL,
            difference=shown(-result.estimate if lead else result.estimate),
            metric=self.translate(self.metrics[comparison.metric].label),
            level=f"{100 * (1 - self.alpha):g}",
            low=shown(low),
            high=shown(high),
            n=str(result.n),
        )


def signed(value: float) -> str:
    """Three decimals with a sign; a minus sign, not a hyphen."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def comparison_sentence(comparison: Comparison, wording: Wording) -> str:
    """One comparison of the decision family in words."""
    names = {"candidate": comparison.candidate, "reference": comparison.reference}
    if comparison.result is None or comparison.result.estimate is None:
        return wording.say(COMPARISON_MISSING, **names)
    return wording.say(COMPARISON, phrase=wording.found(comparison), evidence=wording.evidence(comparison), **names)


def more_data_sentence(more: int, cost_nanousd: int | None, translate: Translate) -> str:
    """How many more examples an undecided comparison needs, and what they cost (two significant digits)."""
    if cost_nanousd is None:
        return translate(MORE_DATA) % {"more": more}
    return translate(MORE_DATA_COST) % {"more": more, "cost": dollars(cost_nanousd)}


def truncated_sentence(candidate: str, count: int, total: int, limit: object, translate: Translate) -> str:
    """How many answers of a candidate were cut off, and where."""
    values = {"candidate": candidate, "count": count, "total": total, "limit": "?" if limit is None else limit}
    return translate(NOTE_TRUNCATED) % values


def looks_sentence(total: int, others: int, translate: Translate) -> str:
    """How often the test rows were looked at, by whomever."""
    return translate(NOTE_LOOKS) % {"total": total, "others": others}


def dollars(nanousd: int) -> str:
    """Dollars with cents, or with two significant digits below ten cents, so that money is never shown as 0.00."""
    if nanousd == 0 or nanousd >= 100_000_000:
        return f"{nanousd / 1e9:.2f}"
    digits = 11 - len(str(nanousd))
    return f"{nanousd / 1e9:.{min(9, digits)}f}"


def conclude(
    *,
    recommendation: Recommendation,
    comparisons: Sequence[Comparison],
    units: Mapping[str, CandidateUnits],
    wording: Wording,
) -> Conclusion:
    """The conclusion from the primary comparisons against the reference and the recommendation built on them."""
    kind, text, params = _sentence(recommendation, comparisons, units, wording)
    if recommendation.recommended in wording.baselines:
        text = wording.say(NO_MODEL_NEEDED, sentence=text)
    return Conclusion(
        kind=kind,
        recommended=recommendation.recommended,
        text=text,
        params=params,
        also=recommendation.also,
        notes=_notes(recommendation, comparisons, units, wording),
    )


def _sentence(
    recommendation: Recommendation,
    comparisons: Sequence[Comparison],
    units: Mapping[str, CandidateUnits],
    wording: Wording,
) -> tuple[str, str, dict[str, str]]:
    chosen = recommendation.recommended
    if chosen is None:
        return NO_WINNER, *_nobody(comparisons, units, wording)
    if chosen == wording.reference:
        return REFERENCE_BEST, *_reference_chosen(recommendation, comparisons, units, wording)
    own = next(item for item in comparisons if item.candidate == chosen)
    kind = kind_of(own, margin=wording.margin)
    params = {
        "recommended": chosen,
        "reference": wording.reference,
        "phrase": wording.found(own),
        "evidence": wording.evidence(own),
        "also": ", ".join(recommendation.also),
    }
    return kind, wording.say(OTHER_TIED if recommendation.also else OTHER_WINS, **params), params


def _nobody(
    comparisons: Sequence[Comparison], units: Mapping[str, CandidateUnits], wording: Wording
) -> tuple[str, dict[str, str]]:
    own = units.get(wording.reference)
    bar = constant_bar(units, comparisons, margin=wording.margin, alpha=wording.alpha)
    if own is not None and own.constant:
        reason = wording.say(REASON_CONSTANT, reference=wording.reference)
    elif bar is not None:
        names = {"candidate": bar.candidate, "reference": wording.reference}
        reason = wording.say(REASON_BEATEN, evidence=wording.evidence(bar), **names)
    else:
        reason = wording.say(REASON_NO_FIGURES, reference=wording.reference)
    params = {"reference": wording.reference, "reason": reason}
    return wording.say(NOBODY, **params), params


def _reference_chosen(
    recommendation: Recommendation,
    comparisons: Sequence[Comparison],
    units: Mapping[str, CandidateUnits],
    wording: Wording,
) -> tuple[str, dict[str, str]]:
    params = {
        "recommended": wording.reference,
        "margin": f"{wording.margin:g}",
        "also": ", ".join(recommendation.also),
    }
    level = level_constants(units, comparisons, margin=wording.margin)
    rival = _closest(comparisons, level, recommendation)
    if rival is None:
        return wording.say(REFERENCE_ALONE, **params), params
    leads = kind_of(rival, margin=wording.margin).startswith("worse") and is_claimed(
        rival, margin=wording.margin, alpha=wording.alpha
    )
    alone = len(recommendation.qualifying) == 1
    if recommendation.also:
        template = REFERENCE_TIED
    elif level:
        template = REFERENCE_LEVEL
    elif not alone:
        template = REFERENCE_CHEAPER
    else:
        template = REFERENCE_LEADS if leads else REFERENCE_STAYS
    params |= {"rival": rival.candidate, "evidence": wording.evidence(rival, lead=template is REFERENCE_LEADS)}
    return wording.say(template, **params), params


def _closest(
    comparisons: Sequence[Comparison], level: Sequence[Comparison], recommendation: Recommendation
) -> Comparison | None:
    """The comparison that the sentence quotes: the highest difference, among those tied with the winner if there are
    any, else among constant answers that are level with it."""
    known = [item for item in comparisons if item.result is not None and item.result.estimate is not None]
    tied = [item for item in known if item.candidate in recommendation.also]
    return max(tied or level or known, key=_estimate, default=None)


def _estimate(comparison: Comparison) -> float:
    if comparison.result is None or comparison.result.estimate is None:
        return float("-inf")
    return comparison.result.estimate


def _notes(
    recommendation: Recommendation,
    comparisons: Sequence[Comparison],
    units: Mapping[str, CandidateUnits],
    wording: Wording,
) -> tuple[str, ...]:
    notes = _constant_notes(comparisons, units, wording)
    for item in comparisons:
        claimed = is_claimed(item, margin=wording.margin, alpha=wording.alpha)
        if item.candidate in wording.baselines and claimed and kind_of(item, margin=wording.margin) in BETTER:
            names = {"candidate": item.candidate, "reference": item.reference}
            notes.append(wording.say(NOTE_BASELINE, evidence=wording.evidence(item), **names))
        if item.worst_case is not None and item.best_case is not None:
            notes.append(_dropped_note(item, len(units[item.candidate].available), wording))
    if recommendation.price_assumed:
        notes.append(wording.say(NOTE_PRICE_CHANGES if recommendation.price_changes_winner else NOTE_PRICE_HOLDS))
    return tuple(notes)


def _constant_notes(
    comparisons: Sequence[Comparison], units: Mapping[str, CandidateUnits], wording: Wording
) -> list[str]:
    level = {item.candidate: item for item in level_constants(units, comparisons, margin=wording.margin)}
    notes = []
    for name in (name for name, own in units.items() if own.constant):
        if name in level:
            more = {"reference": wording.reference, "margin": f"{wording.margin:g}"}
            evidence = wording.evidence(level[name])
            notes.append(wording.say(NOTE_CONSTANT_LEVEL, candidate=name, evidence=evidence, **more))
        else:
            notes.append(wording.say(NOTE_CONSTANT, candidate=name))
    return notes


def _dropped_note(item: Comparison, total: int, wording: Wording) -> str:
    worst = item.worst_case.estimate if item.worst_case else None
    best = item.best_case.estimate if item.best_case else None
    return wording.say(
        NOTE_DROPPED,
        candidate=item.candidate,
        reference=item.reference,
        dropped=str(item.dropped),
        total=str(total),
        worst="?" if worst is None else signed(worst),
        best="?" if best is None else signed(best),
    )
