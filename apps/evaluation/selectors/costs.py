"""What experiments cost, by experiment and by candidate."""

from dataclasses import dataclass
from typing import Any

from apps.billing.models import Price
from apps.billing.selectors import spent_by_experiment, spent_by_purpose
from apps.evaluation.models import Evaluation
from apps.experiments.models import Candidate, Experiment


@dataclass(frozen=True)
class CandidateCost:
    """What the calls of one evaluation were charged, and how many there were."""

    candidate: Candidate
    evaluation: Evaluation
    spent_nanousd: int
    held_nanousd: int
    calls: int


def experiment_costs(experiments: list[Experiment]) -> dict[int, int]:
    """Nano-dollars spent, by experiment id."""
    return spent_by_experiment([experiment.pk for experiment in experiments])


def candidate_costs(experiment: Experiment) -> list[CandidateCost]:
    """One row per evaluation of the experiment, choices on validation included."""
    spent = spent_by_purpose(experiment)
    evaluations = experiment.evaluations.select_related("candidate").order_by("candidate__position", "id")
    return [
        CandidateCost(
            candidate=evaluation.candidate,
            evaluation=evaluation,
            spent_nanousd=(found := spent.get(f"output:{evaluation.uid}", _NONE))[0],
            held_nanousd=found[1],
            calls=found[2],
        )
        for evaluation in evaluations
    ]


_NONE = (0, 0, 0)


def candidate_prices(experiment: Experiment) -> list[Any]:
    """Prices that the calls of the experiment were charged at."""
    return list(Price.objects.filter(reservations__experiment=experiment).distinct().order_by("id"))
