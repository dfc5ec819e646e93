"""The whole check of one report: figures recomputed from `examples` and `outputs`, then compared."""

import math
from collections.abc import Mapping
from typing import Any

from scripts.recompute_lib import formulas, shape
from scripts.recompute_lib.decision import Contender, Decision, clear, decide, price_changes_winner, qualifying
from scripts.recompute_lib.figures import (
    ENUMERATED,
    Draws,
    Figures,
    candidate_cost,
    candidate_latency,
    candidate_metric,
    comparison,
)
from scripts.recompute_lib.formats import format_of
from scripts.recompute_lib.ledger import ABSENT, Ledger
from scripts.recompute_lib.sentences import Evidence, sentence_problems
from scripts.recompute_lib.units import candidate_units, outputs_all_equal

Json = Mapping[str, Any]
NAMED_DIFFERENCES = ("better", "worse")
# With which probability a difference counts as shown where a note says what few rows cannot show.
POWER = 0.8


def check_report(report: Json, *, tolerance: float = 1e-9) -> Ledger:
    """A ledger of every figure; figures are left out only where the report's outline is broken."""
    ledger = Ledger(tolerance)
    ledger.problems += shape.outline_problems(report)
    if ledger.problems:
        return ledger
    ledger.problems += shape.content_problems(report)
    try:
        Check(report, ledger).run()
    except (ValueError, KeyError, TypeError) as error:
        ledger.problems.append(f"the figures cannot be recomputed: {type(error).__name__}: {error}")
    return ledger


class Check:
    """One pass: candidates, comparisons, conclusion."""

    def __init__(self, report: Json, ledger: Ledger) -> None:
        self.report, self.ledger = report, ledger
        self.experiment = report["experiment"]
        self.primary, self.reference = self.experiment["primary_metric"], self.experiment["reference"]
        self.family = [tuple(pair) for pair in self.experiment["family"]]
        self.names = [candidate["name"] for candidate in report["candidates"]]
        self.format = format_of(report)
        self.draws = Draws.from_seed(
            seed=report["bootstrap"]["seed"],
            resamples=report["bootstrap"]["resamples"],
            n=len(report["examples"]),
            alpha=self.experiment["alpha"],
        )
        self.contenders: dict[str, Contender] = {}
        # Counts that the notes may quote beside the figures of comparisons.
        self.counts: list[float] = []
        # Numbers that they may quote as they are written, not rounded.
        self.verbatim: set[str] = set()
        self.comparisons: dict[tuple[str, str, str], Figures] = {}

    def run(self) -> None:
        for candidate in self.report["candidates"]:
            self.candidate(candidate)
        for row in self.report["comparisons"]:
            self.comparison(row)
        self.adjusted()
        self.conclusion()

    def candidate(self, candidate: Json) -> None:
        name, check = f"{candidate['name']}", self.ledger.check
        if candidate.get("state", "done") != "done":
            return
        units = candidate_units(self.report["examples"], candidate["outputs"], self.format)
        constant = outputs_all_equal(candidate["outputs"])
        self.contenders[candidate["name"]] = Contender(name, units, candidate["cost_assumed"], constant)
        self.outputs(candidate, "valid", units.valid)
        if any("exact" in output for output in candidate["outputs"]):
            self.outputs(candidate, "exact", units.exact)
        for metric in candidate["metrics"]:
            if metric in self.format.metrics:
                figure = candidate_metric(units, metric, self.draws, self.format)
                reported = {"dropped": figure["dropped"]} | candidate["metrics"][metric]
                self.ledger.check_keys(f"{name} {metric}", reported, figure)
            else:
                self.ledger.not_checked.append(f"{name} {metric}: no definition here")
        cost = candidate_cost(units, self.draws)
        check(f"{name} cost_nanousd_per_1000", candidate["cost_nanousd_per_1000"], cost["value"])
        if candidate.get("cost") is not None:
            self.ledger.check_keys(f"{name} cost", candidate["cost"], cost)
        self.latency(name, candidate["latency_ms"], candidate_latency(units, self.draws.alpha))
        check(f"{name} constant_output", candidate.get("constant_output", ABSENT), constant)
        if "repeats" in candidate:
            check(f"{name} repeats", candidate["repeats"], units.most_repeats)
        if "truncated" in candidate:
            self.truncated(name, candidate)

    def truncated(self, name: str, candidate: Json) -> None:
        """Answers that the token limit cut off; a note quotes them with how many there are and the limit."""
        ends = [output.get("finish_reason") for output in candidate["outputs"] if output["error"] is None]
        cut = ends.count("length")
        self.ledger.check(f"{name} truncated", candidate["truncated"], cut)
        limit = candidate.get("parameters", {}).get("max_tokens")
        self.counts += [float(cut), float(len(candidate["outputs"])), *([float(limit)] if limit is not None else [])]

    def outputs(self, candidate: Json, key: str, recomputed: list[bool | None]) -> None:
        """One row for all outputs if they agree; else one for each that does not."""
        reported = [output.get(key, ABSENT) for output in candidate["outputs"]]
        where = f"{candidate['name']} outputs {key}"
        if reported == recomputed:
            self.ledger.check(where, sum(v is True for v in reported), sum(v is True for v in recomputed))
            return
        for output, theirs, ours in zip(candidate["outputs"], reported, recomputed, strict=True):
            if theirs is not ours:
                self.ledger.check(f"{where} {output['example']}/{output['repeat']}", theirs, ours)

    def latency(self, name: str, reported: Json, recomputed: Figures) -> None:
        """p50 and p95 always; n and the intervals where the report carries them."""
        for key, value in recomputed.items():
            if key in reported:
                self.ledger.check(f"{name} latency_ms.{key}", reported[key], value)

    def comparison(self, row: Json) -> None:
        key = (row["metric"], row["candidate"], row["reference"])
        where = f"{key[1]} - {key[2]} {key[0]}"
        if not {key[1], key[2]} <= self.contenders.keys() or key[0] not in self.format.metrics:
            for empty in ("difference", "low", "high", "p", "p_adjusted"):
                self.ledger.check(f"{where}.{empty}", row[empty], None)
            return
        first, second = self.contenders[key[1]].units, self.contenders[key[2]].units
        figure = comparison(first, second, key[0], self.draws, self.format)
        self.settle_sampled(where, row, figure)
        self.comparisons[key] = figure
        self.ledger.check_keys(where, {k: figure[k] for k in ("n", "dropped")} | dict(row), figure)

    def settle_sampled(self, where: str, row: Json, figure: Figures) -> None:
        """A p from sampled sign flips is held against the exact one, within five standard errors of the sampling."""
        pairs = [(where, row, figure)]
        pairs += [
            (f"{where}.{case}", row.get(case, {}), figure[case])
            for case in ("worst_case", "best_case")
            if case in figure
        ]
        for place, reported, recomputed in pairs:
            enumerated = recomputed.pop("test", None) == ENUMERATED
            theirs = reported.get("p", ABSENT)
            # The test is named for the comparison alone; its extreme cases may have more units, and so sampled flips.
            sampled = place != where or "sampled" in str(row["test"])
            if not enumerated or not sampled or not isinstance(theirs, float):
                continue
            exact, count = recomputed["p"], self.report["bootstrap"]["resamples"]
            slack = 5 * math.sqrt(exact * (1 - exact) / count) + 1.5 / count
            self.ledger.check(f"{place}.p (exact)", theirs, exact, slack=slack, remark="sampled sign flips")
            recomputed["p"] = theirs

    def adjusted(self) -> None:
        """Holm over the declared family, absent figures counting as p = 1; Benjamini-Hochberg over the others."""
        keys = [(self.primary, *pair) for pair in self.family]
        p_values = [self.comparisons[key]["p"] if key in self.comparisons else None for key in keys]
        corrected = formulas.holm([1.0 if p is None else p for p in p_values])
        decided = {key: value for key, p, value in zip(keys, p_values, corrected, strict=True) if p is not None}
        others = [key for key in self.comparisons if key not in keys and self.comparisons[key]["p"] is not None]
        explored = dict(
            zip(others, formulas.benjamini_hochberg([self.comparisons[key]["p"] for key in others]), strict=True)
        )
        for row in self.report["comparisons"]:
            key = (row["metric"], row["candidate"], row["reference"])
            where = f"{key[1]} - {key[2]} {key[0]}"
            if key not in self.comparisons:
                continue
            self.ledger.check(f"{where}.p_adjusted", row["p_adjusted"], decided.get(key))
            if "p_bh" in row:
                self.ledger.check(f"{where}.p_bh", row["p_bh"], explored.get(key))
            if key in keys:
                self.verdict(where, row, self.comparisons[key], decided.get(key))

    def verdict(self, where: str, row: Json, figure: Figures, p_adjusted: float | None) -> None:
        """The kind from the interval; claimed only if the interval leaves out zero and the adjusted p is small."""
        figure["claimed_better"] = False
        if figure["low"] is None or p_adjusted is None:
            return
        figure["p_adjusted"] = p_adjusted
        figure["kind"] = formulas.conclusion_kind(figure["low"], figure["high"], self.experiment["margin"])
        claimed = figure["kind"].startswith(NAMED_DIFFERENCES) and p_adjusted <= self.draws.alpha
        figure["claimed_better"] = claimed and figure["kind"].startswith("better")
        if "kind" in row:
            self.ledger.check(f"{where}.kind", row["kind"], figure["kind"])
        if "claimed" in row:
            self.ledger.check(f"{where}.claimed", row["claimed"], claimed)
        if row.get("more_examples"):
            self.more_examples(where, row["more_examples"], row, figure)
        if row.get("text"):
            own = [key for key, value in self.comparisons.items() if value is figure]
            self.sentence(f"{where}.text", row["text"], self.evidence(own), must_quote=True)

    def more_examples(self, where: str, reported: Json, row: Json, figure: Figures) -> None:
        """How many more would decide: L > -margin or U < 0, whichever comes first at the observed difference."""
        distance = max(figure["difference"] + self.experiment["margin"], -figure["difference"])
        total = formulas.units_to_decide(figure["n"], figure["low"], figure["high"], distance, self.draws.alpha)
        figure["more"] = total - figure["n"]
        self.ledger.check(f"{where}.more_examples.more", reported.get("more", ABSENT), figure["more"])
        if "total" in reported:
            self.ledger.check(f"{where}.more_examples.total", reported["total"], total)
        costs = [
            candidate_cost(self.contenders[row[side]].units, self.draws)["value"] for side in ("candidate", "reference")
        ]
        if "cost_nanousd" in reported:
            unknown = None in costs
            repeats = self.contenders[row["candidate"]].units.most_repeats
            figure["more_cost"] = None if unknown else math.ceil(figure["more"] * repeats * sum(costs) / 1000)
            self.ledger.check(f"{where}.more_examples.cost_nanousd", reported["cost_nanousd"], figure["more_cost"])

    def conclusion(self) -> None:
        stated = self.report["conclusion"]
        compared = {
            candidate: self.comparisons[self.primary, candidate, reference]
            for candidate, reference in self.family
            if reference == self.reference and (self.primary, candidate, reference) in self.comparisons
        }
        fit = qualifying(self.contenders, self.reference, compared, self.experiment["margin"])
        decision = decide(self.contenders, fit, self.draws)
        self.recommended(stated, decision)
        for row in stated.get("cost_comparisons", []):
            self.cost_comparison(row, decision)
        if "price_changes_winner" in stated:
            changes = price_changes_winner(self.contenders, decision, stated["recommended"], self.draws)
            if changes is None:
                self.ledger.not_checked.append("conclusion.price_changes_winner: a tie stays a tie with other members")
            else:
                self.ledger.check("conclusion.price_changes_winner", stated["price_changes_winner"], changes)
        if "price_assumed" in stated:
            assumed = any(self.contenders[name].assumed for name in fit)
            self.ledger.check("conclusion.price_assumed", stated["price_assumed"], assumed)
        self.constants_are_told(stated, compared)
        everything = self.evidence(self.comparisons)
        primary = self.evidence([key for key in self.comparisons if key[0] == self.primary])
        self.sentence("conclusion.text", stated["text"], primary, must_quote=bool(primary and stated["recommended"]))
        for number, note in enumerate(stated.get("notes", [])):
            self.sentence(f"conclusion.notes[{number}]", note, everything, must_quote=False)
        self.counts += [float(count) for count in self.experiment.get("looks", {}).values()]
        unseen = formulas.unseen_below(len(self.report["examples"]), self.draws.alpha, POWER)
        self.verbatim = {f"{number:g}" for number in (self.draws.alpha, POWER, *unseen) if number is not None}
        for number, note in enumerate(self.report.get("notes", [])):
            self.sentence(f"notes[{number}]", note, [], must_quote=False)

    def constants_are_told(self, stated: Json, compared: Mapping[str, Figures]) -> None:
        """Where a reference is recommended that a constant answer is not behind, the sentence must name that answer."""
        constants = {name: figure["low"] for name, figure in compared.items() if self.contenders[name].constant}
        level = [name for name, low in constants.items() if low is not None and low > -self.experiment["margin"]]
        alone = stated["recommended"] == self.reference and not stated.get("also_recommended")
        if alone and level and not any(name in stated["text"] for name in level):
            self.ledger.problems.append(f"conclusion.text: is silent about {' / '.join(level)}, which it does not beat")

    def recommended(self, stated: Json, decision: Decision) -> None:
        check, chosen = self.ledger.check, stated["recommended"]
        if "qualifying" in stated:
            check("conclusion.qualifying", sorted(stated["qualifying"]), sorted(decision.qualifying))
        if chosen not in decision.named and (chosen is not None or decision.named):
            check("conclusion.recommended", chosen, " or ".join(decision.named) or None)
            return
        check(
            "conclusion.recommended",
            chosen,
            chosen,
            remark=f"one of {len(decision.named)} of like cost" if len(decision.named) > 1 else "",
        )
        if "also_recommended" in stated:
            check(
                "conclusion.also_recommended",
                sorted(stated["also_recommended"]),
                sorted(name for name in decision.named if name != chosen),
            )
        kind = "no_winner" if chosen is None else "reference_best"
        if chosen not in (None, self.reference):
            kind = self.comparisons[self.primary, chosen, self.reference]["kind"]
        check("conclusion.kind", stated["kind"], kind)
        for candidate in self.report["candidates"]:
            if "recommended" in candidate:
                check(f"{candidate['name']} recommended", candidate["recommended"], candidate["name"] == chosen)

    def cost_comparison(self, row: Json, decision: Decision) -> None:
        key = (row["candidate"], row["reference"])
        figure = decision.cost_differences.get(key)
        if figure is None:
            self.ledger.problems.append(f"conclusion.cost_comparisons: {key} is no pair of the rules")
            return
        self.ledger.check_keys(f"cost {key[0]} - {key[1]}", row, figure | {"clear": clear(figure)})

    def evidence(self, keys: Any) -> list[Evidence]:
        return [
            Evidence(key[1], key[2], *(self.comparisons[key][name] for name in ("difference", "low", "high", "n")))
            for key in keys
            if self.comparisons[key]["low"] is not None
        ]

    def sentence(self, where: str, text: str, evidence: list[Evidence], *, must_quote: bool) -> None:
        loose = [self.experiment["margin"], 100 * (1 - self.draws.alpha), float(len(self.report["examples"]))]
        loose += self.counts
        for figure in self.comparisons.values():
            loose += [figure["more_cost"] / 1e9] if figure.get("more_cost") is not None else []
            loose += [float(figure[key]) for key in ("dropped", "more", "n", "p_adjusted") if key in figure]
            loose += [figure[case]["difference"] for case in ("worst_case", "best_case") if case in figure]
        problems = sentence_problems(
            text,
            names=self.names,
            evidence=evidence,
            loose=loose,
            verbatim=self.verbatim,
            must_quote=must_quote,
            confidence=100 * (1 - self.draws.alpha),
        )
        self.ledger.problems += [f"{where}: {problem}" for problem in problems]
