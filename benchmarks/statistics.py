"""The whole report of 6 candidates × 230 examples, B = 9,999, against a plain loop over the same resamples.

The report begins with scoring every answer. The loop does only a part of the report's work: micro-F1 and the cost of
each candidate in each resample, and their differences. It runs 1/100 of the resamples, and its time is multiplied by
100. The two take turns in going first.
"""

import random
from typing import Any

from benchmarks import figures

CANDIDATES, EXAMPLES, SHARE = 6, 230, 100
FIELDS = ("number", "street", "city", "state", "zip")


def main() -> None:
    given = figures.options(__doc__).parse_args()
    facts = _facts()
    units = _counts(facts)
    turns = figures.Turns()
    pairs = figures.repeated(
        lambda: turns.pair(lambda: _report(facts), lambda: _loop(units, facts.resamples)), given.repeats
    )
    figures.show("statistics, one report", pairs, unit="s", ours="report", peer="plain loop, part of it, scaled")


def _facts() -> Any:
    from apps.evaluation.engine.facts import CandidateFacts, DatasetFacts, ExampleFacts, ExperimentFacts, ReportFacts

    examples = tuple(ExampleFacts(f"e{n}", f"input {n}", _answer(n, 1.0, 0)) for n in range(EXAMPLES))
    names = [f"candidate {number}" for number in range(CANDIDATES)]
    experiment = ExperimentFacts(
        uid="benchmark", name="Benchmark", primary_metric="field_f1", margin=0.05, alpha=0.05, reference=names[0],
        family=tuple((name, names[0]) for name in names[1:]),
    )  # fmt: skip
    candidates = tuple(
        CandidateFacts(name, "prompted", name, "prompt", outputs=_outputs(number)) for number, name in enumerate(names)
    )
    dataset = DatasetFacts("0" * 64, 1, n_train=1000, n_validation=200, n_test=EXAMPLES)
    return ReportFacts(experiment, dataset, examples, candidates, bootstrap_seed=1)


def _outputs(candidate: int) -> tuple[Any, ...]:
    from apps.evaluation.engine.facts import OutputFacts

    skill = 0.3 + 0.1 * candidate
    return tuple(
        OutputFacts(f"e{n}", 0, _answer(n, skill, candidate), latency_ms=10.0 + n, cost_nanousd=1000 + n)
        for n in range(EXAMPLES)
    )


def _answer(number: int, skill: float, seed: int) -> str:
    """The expected answer with each field kept with probability `skill`."""
    pick = random.Random(1000 * seed + number)
    values = [f'"{name}":"{name} {number % 37 if pick.random() < skill else "wrong"}"' for name in FIELDS]
    return "{" + ",".join(values) + "}"


def _report(facts: Any) -> float:
    """Seconds of one report, with no score remembered from before."""
    from apps.evaluation.engine import units
    from apps.evaluation.engine.report import build_report

    units.remembered_score.cache_clear()
    return figures.seconds_of(lambda: build_report(facts))


def _counts(facts: Any) -> list[list[tuple[int, int, int, int]]]:
    """(true positives, predicted, gold, cost) of every example, per candidate, as plain numbers."""
    from apps.evaluation.engine.metrics import scoring_for
    from apps.evaluation.engine.units import candidate_units

    scoring = scoring_for(facts.experiment.answer)
    found = [candidate_units(candidate, facts.examples, scoring) for candidate in facts.candidates]
    return [
        [
            (*counts, cost)
            for counts, (cost, _) in zip(unit.counts["field_f1"].tolist(), unit.cost.tolist(), strict=True)
        ]
        for unit in found
    ]


def _loop(units: list[list[tuple[int, int, int, int]]], resamples: int) -> float:
    pick, rounds = random.Random(1), resamples // SHARE
    differences: list[list[float]] = []

    def work() -> None:
        for _ in range(rounds):
            drawn = [pick.randrange(EXAMPLES) for _ in range(EXAMPLES)]
            values, costs = [], []
            for candidate in units:
                hits = sides = cost = 0
                for index in drawn:
                    true, predicted, gold, price = candidate[index]
                    hits, sides, cost = hits + true, sides + predicted + gold, cost + price
                values.append(2 * hits / sides if sides else 1.0)
                costs.append(cost / EXAMPLES)
            differences.append([value - values[0] for value in values[1:]] + [cost - costs[0] for cost in costs[1:]])

    return figures.seconds_of(work) * resamples / rounds


if __name__ == "__main__":
    main()
