"""Lists of experiments, and one evaluation for a person."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.core.access import fetch_for_user
from apps.evaluation.models import Evaluation, Leaderboard
from apps.evaluation.selectors.costs import experiment_costs
from apps.evaluation.selectors.documents import recommended_text
from apps.evaluation.selectors.states import shown_states
from apps.experiments import selectors
from apps.experiments.models import Experiment

# `?sort=` → column; a leading minus reverses it.
SORTS = {"asked": "id", "name": "name", "state": "state", "n": "dataset_version__test_count", "ended": "finished_at"}
DEFAULT_SORT = "-asked"


@dataclass(frozen=True)
class ExperimentRow:
    experiment: Experiment
    best: str | None
    cost_nanousd: int
    cost_assumed: bool
    state: str


def experiments_sorted(*, user: Any, team: Any, sort: str) -> QuerySet[Experiment]:
    """A team's experiments in the order that `sort` asks for; an unknown one is the default."""
    column = SORTS.get(sort.removeprefix("-"))
    if column is None:
        return experiments_sorted(user=user, team=team, sort=DEFAULT_SORT)
    order = f"-{column}" if sort.startswith("-") else column
    return selectors.experiments(user=user, team=team).order_by(order, "-id")


def experiment_rows(experiments: list[Experiment]) -> list[ExperimentRow]:
    """The given experiments with the candidate that each one recommends, and what each one cost."""
    costs = experiment_costs(experiments)
    boards = dict(Leaderboard.objects.filter(experiment__in=experiments).values_list("experiment_id", "document"))
    states = shown_states(experiments)
    return [_row(each, boards.get(each.pk) or {}, costs.get(each.pk, 0), states[each.pk]) for each in experiments]


def _row(experiment: Experiment, document: dict[str, Any], cost: int, state: str) -> ExperimentRow:
    conclusion = document.get("conclusion", {})
    return ExperimentRow(
        experiment=experiment,
        best=recommended_text(conclusion),
        cost_nanousd=cost,
        cost_assumed=any(row.get("cost_assumed") for row in document.get("candidates", [])),
        state=state,
    )


def evaluation_for(*, user: Any, team: Any, uid: Any) -> Evaluation:
    """One evaluation by its public id, with everything that its page names."""
    found: Evaluation = fetch_for_user(Evaluation, user, uid=uid, experiment__team=team)
    return (
        Evaluation.objects.for_user(user)
        .select_related("candidate__language_model", "candidate__prompt_version__prompt", "experiment__dataset_version")
        .get(pk=found.pk)
    )
