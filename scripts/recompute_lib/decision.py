"""Who qualifies, who is cheapest, and what the conclusion may therefore say (the recommendation rules)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.recompute_lib.figures import Draws, Figures, candidate_cost, cost_difference
from scripts.recompute_lib.units import Units


@dataclass(frozen=True)
class Contender:
    """A candidate that has ended: its units, whether its price is assumed, whether all its outputs are equal."""

    name: str
    units: Units
    assumed: bool
    constant: bool


@dataclass
class Decision:
    """`named` holds the candidates that the conclusion must name; one of them is recommended."""

    qualifying: list[str]
    named: list[str]
    cheapest: str | None
    cost_differences: dict[tuple[str, str], Figures] = field(default_factory=dict)


def qualifying(
    contenders: Mapping[str, Contender], reference: str, compared: Mapping[str, Figures], margin: float
) -> list[str]:
    """The reference, and whoever has shown L > -margin against it; never one whose outputs are all equal.

    compared: each contender's figures against the reference, with `claimed_better`. What a constant answer is claimed
    to beat is not praised: then the reference does not qualify, nor does anyone who is not above that answer.
    """
    beaten_by = [
        figure["difference"]
        for name, figure in compared.items()
        if contenders[name].constant and figure["claimed_better"]
    ]
    bar = max(beaten_by, default=None)
    fit = {reference} if bar is None else set()
    fit |= {
        name
        for name, figure in compared.items()
        if figure["low"] is not None and figure["low"] > -margin and (bar is None or figure["difference"] > bar)
    }
    return [name for name, own in contenders.items() if name in fit and not own.constant and not own.units.failed.all()]


def decide(
    contenders: Mapping[str, Contender], fit: list[str], draws: Draws, factors: tuple[int, int] = (1, 1)
) -> Decision:
    """The cheapest that qualifies, and all whose cost cannot be told from its cost.

    factors: (multiplier of assumed prices, multiplier of known ones), whole numbers so that sums stay exact.
    """
    scale = {name: factors[0] if contenders[name].assumed else factors[1] for name in fit}
    costs = {name: candidate_cost(contenders[name].units, draws)["value"] for name in fit}
    known = {name: cost * scale[name] for name, cost in costs.items() if cost is not None}
    if not known:
        return Decision(fit, list(fit), None)
    cheapest = min(known, key=lambda name: known[name])
    decision = Decision(fit, [cheapest], cheapest)
    for name in fit:
        if name == cheapest:
            continue
        figure = cost_difference(
            contenders[name].units, contenders[cheapest].units, draws, (scale[name], scale[cheapest])
        )
        decision.cost_differences[name, cheapest] = figure
        if not clear(figure):
            decision.named.append(name)
    return decision


def clear(figure: Figures) -> bool:
    """Whether the interval of a cost difference leaves out zero; an unknown difference is not clear."""
    return figure["low"] is not None and (figure["low"] > 0 or figure["high"] < 0)


def price_changes_winner(
    contenders: Mapping[str, Contender], decision: Decision, recommended: Any, draws: Draws
) -> bool | None:
    """Whether half or twice the assumed prices changes the winner; None where the rules leave it open.

    Open is the case in which the same candidate may still be recommended, beside others than before.
    """
    others = [decide(contenders, decision.qualifying, draws, factors) for factors in ((1, 2), (2, 1))]
    if all(set(other.named) == set(decision.named) for other in others):
        return False
    return None if all(recommended in other.named for other in others) else True
