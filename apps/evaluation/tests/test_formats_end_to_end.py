"""An experiment of every answer format with its free baselines: from the calls to the scores, the pages, the report."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.artifacts import get_bytes
from apps.core.models import JobStatus
from apps.core.tests.factories import BudgetFactory, PriceFactory
from apps.evaluation import tasks
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.models import Evaluation, Score
from apps.evaluation.reading import validation_estimate, validation_value
from apps.evaluation.services.evaluations import choice_evaluation_create, evaluation_start, final_evaluation_create
from apps.evaluation.services.reports import report_create
from apps.experiments.models import Experiment
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.experiments import experiment_register
from apps.experiments.tests.world import add_baseline, experiment_of
from apps.providers.engine.baselines import baselines_for
from scripts.recompute_lib.checks import check_report

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_cache_memory")]
ANSWERS: dict[str, dict[str, Any]] = {
    "label": {"format": "label", "labels": ["storm", "calm", "fog"]},
    "text": {"format": "text"},
    "number": {"format": "number", "tolerance": 2.0},
}
# What a reader sees: the metrics' names, and the badge of an answer that the format does not allow.
SEEN = {
    "label": ("Accuracy", "Macro F1", "Valid label rate"),
    "text": ("Token F1", "Exact match", "chrF", "ROUGE-L"),
    "number": ("Rate within tolerance", "Exact match", "Valid number rate"),
}
BADGES = {"label": "None of the labels", "number": "Not a number", "text": ""}


def _pair(format_: str, n: int) -> tuple[str, str]:
    weather = "storm" if n % 3 == 0 else "fog" if n % 3 == 1 else "calm"
    place = f"Town{n * 7919 % 1000}"
    text = f"A {weather} over {place}. Station {n * 631} sends this."
    return text, {"label": weather, "text": f"A {weather} over {place}.", "number": str(n % 5)}[format_]


def experiment(team: Team, owner: User, format_: str) -> Experiment:
    """Registered, with every free baseline of the format, the last one as the reference."""
    PriceFactory.create()
    BudgetFactory.create(team=team)
    dataset = dataset_create(actor=owner, team=team, name=f"Weather, {format_}", split_seed=7)
    pairs = [_pair(format_, n) for n in range(90)]
    version = dataset_version_create(actor=owner, dataset=dataset, pairs=pairs, answer=ANSWERS[format_])
    scoring = scoring_for(version.answer)
    made = experiment_of(version, owner, metrics=list(scoring.metrics), primary_metric=scoring.primary)
    candidates = [add_baseline(made, owner, method) for method in baselines_for(version.answer)]
    return experiment_register(actor=owner, experiment=made, reference=candidates[-1])


def run(experiment: Experiment, owner: User) -> None:
    for candidate in experiment.candidates.order_by("position"):
        evaluation = final_evaluation_create(actor=owner, candidate=candidate, order_seed=3)
        evaluation_start(actor=owner, evaluation=evaluation)
        tasks.evaluation_slice(evaluation.pk)
    assert not experiment.evaluations.exclude(status=JobStatus.SUCCEEDED).exists()


@pytest.mark.parametrize("format_", ANSWERS)
def test_from_calls_to_a_report_that_the_recomputation_confirms(team: Team, bob: User, format_: str) -> None:
    made = experiment(team, bob, format_)
    run(made, bob)
    scoring = scoring_for(made.answer)
    stored = Score.objects.filter(output__evaluation__experiment=made)
    assert dict(stored.values_list("metric", "signature")) == {
        name: metric.signature for name, metric in scoring.metrics.items()
    }
    assert all(0 <= value <= 1 for value in stored.values_list("value", flat=True))
    assert stored.filter(metric=scoring.primary).exclude(detail={}).count() == stored.count() / len(scoring.metrics)

    name = report_create(
        actor=bob, experiment=made, training={}, seconds={}, memory_mib={"peak_pss": None}, versions={}
    )
    ledger = check_report(json.loads(get_bytes(name)))
    assert ledger.problems == []
    assert ledger.disagreements == []


@pytest.mark.parametrize("format_", ANSWERS)
def test_the_pages_speak_of_the_formats_own_metrics(team: Team, bob: User, client: Client, format_: str) -> None:
    made = experiment(team, bob, format_)
    client.force_login(bob)
    before = client.get(reverse("experiment", args=[team.slug, made.uid])).content.decode()
    assert SEEN[format_][0] in before  # named before there are figures
    run(made, bob)
    report_create(actor=bob, experiment=made, training={}, seconds={}, memory_mib={}, versions={})
    for page in ("experiment", "experiment_report", "experiment_setup"):
        shown = client.get(reverse(page, args=[team.slug, made.uid])).content.decode()
        assert [name for name in SEEN[format_] if name not in shown] == []
        assert "JSON rate" not in shown
        assert "Field F1" not in shown
    outputs = client.get(reverse("experiment_outputs", args=[team.slug, made.uid])).content.decode()
    assert "Not valid JSON" not in outputs


@pytest.mark.parametrize("format_", ["label", "number"])
def test_an_answer_that_the_format_does_not_allow_is_called_what_it_is(
    team: Team, bob: User, client: Client, format_: str
) -> None:
    made = experiment(team, bob, format_)
    run(made, bob)
    output = made.evaluations.all()[0].outputs.all()[0]
    output.text = "Let me think about it."
    output.save(update_fields=["text"])
    output.scores.update(value=0.0)
    client.force_login(bob)
    shown = client.get(reverse("experiment_output", args=[team.slug, made.uid, output.example_id])).content.decode()
    assert BADGES[format_] in shown


@pytest.mark.parametrize("format_", ANSWERS)
def test_a_choice_on_validation_is_made_by_the_formats_primary_metric(team: Team, bob: User, format_: str) -> None:
    made = experiment(team, bob, format_)
    trial = add_baseline(made, bob, "most_frequent", trial=True)
    evaluation = choice_evaluation_create(actor=bob, candidate=trial, order_seed=3, limit=8)
    evaluation_start(actor=bob, evaluation=evaluation)
    tasks.evaluation_slice(evaluation.pk)
    evaluation = Evaluation.objects.get(pk=evaluation.pk)
    estimate = validation_estimate(evaluation)
    values = Score.objects.filter(output__evaluation=evaluation, metric=made.primary_metric)
    assert validation_value(evaluation) == pytest.approx(sum(values.values_list("value", flat=True)) / 8)
    assert (estimate.estimate, estimate.n) == (pytest.approx(validation_value(evaluation)), 8)
