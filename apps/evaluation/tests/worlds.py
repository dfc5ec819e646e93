"""A small registered experiment whose candidates answer as the test says."""

import json
from collections.abc import Callable
from typing import Any

from apps.accounts.models import Team, User
from apps.billing.calls import MeteredResult
from apps.core.models import JobStatus
from apps.core.tests import factories
from apps.evaluation.models import Evaluation
from apps.evaluation.services.evaluations import choice_evaluation_create, final_evaluation_create
from apps.evaluation.services.leaderboards import leaderboard_refresh
from apps.evaluation.services.reports import report_create
from apps.evaluation.services.scoring import output_store
from apps.experiments import rows
from apps.experiments.models import Experiment
from apps.experiments.services.datasets import dataset_version_create
from apps.experiments.services.experiments import experiment_register

Answerer = Callable[[str, int], str]


def perfect(expected: str, number: int) -> str:
    return expected


def half(expected: str, number: int) -> str:
    """Right on every other example, else one of two fields."""
    return expected if number % 2 else json.dumps({"city": json.loads(expected)["city"]})


def constant(expected: str, number: int) -> str:
    return '{"city":"Nulltown"}'


def rambling(expected: str, number: int) -> str:
    return f"Here is the address you asked for, number {number}."


def draft(team: Team, owner: User) -> Experiment:
    """An experiment on 80 invented addresses that has no candidate yet."""
    dataset = factories.DatasetFactory.create(team=team, created_by=owner)
    pairs = [(f"{n} Main St, City {n}", json.dumps({"number": str(n), "city": f"City {n}"})) for n in range(80)]
    version = dataset_version_create(actor=owner, dataset=dataset, pairs=pairs)
    made: Experiment = factories.ExperimentFactory.create(team=team, dataset_version=version, created_by=owner)
    return made


def registered(team: Team, owner: User, names: list[str], *, reference: str) -> Experiment:
    """A draft with `names` as candidates, registered."""
    experiment = draft(team, owner)
    for name in names:
        factories.CandidateFactory.create(experiment=experiment, name=name)
    return experiment_register(actor=owner, experiment=experiment, reference=experiment.candidates.get(name=reference))


def try_on_validation(experiment: Experiment, owner: User, name: str, answer: Answerer) -> Evaluation:
    """A trial candidate with a finished evaluation on six validation rows."""
    candidate = factories.CandidateFactory.create(experiment=experiment, name=name, trial=True)
    evaluation = choice_evaluation_create(actor=owner, candidate=candidate, order_seed=3, limit=6)
    _answer(evaluation, evaluation.example_ids, answer)
    Evaluation.objects.filter(pk=evaluation.pk).update(status=JobStatus.SUCCEEDED, done=6)
    evaluation.refresh_from_db()
    return evaluation


def answer_all(
    experiment: Experiment, owner: User, name: str, answer: Answerer, *, stop_after: int | None = None, **result: Any
) -> Evaluation:
    """Run a candidate's final test on invented answers; with `stop_after` it is still at work after that many."""
    candidate = experiment.candidates.get(name=name)
    evaluation = final_evaluation_create(actor=owner, candidate=candidate, order_seed=3)
    ids = sorted(evaluation.example_ids)[:stop_after]
    _answer(evaluation, ids, answer, **result)
    status = JobStatus.SUCCEEDED if stop_after is None else JobStatus.RUNNING
    Evaluation.objects.filter(pk=evaluation.pk).update(status=status, done=len(ids))
    evaluation.refresh_from_db()
    leaderboard_refresh(actor=owner, experiment=experiment)
    return evaluation


def _answer(evaluation: Evaluation, ids: list[str], answer: Answerer, **result: Any) -> None:
    examples = rows.rows_for_evaluation(evaluation)
    costs = {"cost_nanousd": 1000, "original_cost_nanousd": 1000, "latency_ms": 5.0, "original_latency_ms": 5.0}
    for number, id_ in enumerate(ids):
        text = answer(examples[id_].expected, number)
        given = MeteredResult(text=text, **{"finish_reason": "stop", **costs, **result})
        output_store(actor=None, evaluation=evaluation, example=examples[id_], repeat=0, result=given)


def finish(experiment: Experiment, owner: User) -> None:
    report_create(actor=owner, experiment=experiment, training={}, seconds={}, memory_mib={}, versions={})
    experiment.refresh_from_db()
