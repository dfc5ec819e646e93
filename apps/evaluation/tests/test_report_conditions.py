"""Under what the figures hold, in the report itself: who reads the document alone must not know less than the page."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.artifacts import get_bytes
from apps.core.tests import factories
from apps.evaluation import selectors
from apps.evaluation.report_markdown import plain, report_markdown
from apps.evaluation.tests.worlds import answer_all, draft, finish, half, perfect, registered, try_on_validation
from apps.experiments import rows
from apps.experiments.models import Experiment
from apps.experiments.reports import few_test_text
from apps.experiments.services.datasets import dataset_version_create
from apps.experiments.services.experiments import experiment_register
from scripts.recompute_lib.checks import check_report

pytestmark = pytest.mark.django_db
NAMES = ["Lookup", "Tuned"]


@pytest.fixture
def finished(team: Team, alice: User) -> Experiment:
    """Two candidates, one of them always cut off."""
    experiment = registered(team, alice, NAMES, reference="Tuned")
    answer_all(experiment, alice, "Lookup", half, finish_reason="length")
    answer_all(experiment, alice, "Tuned", perfect)
    finish(experiment, alice)
    return experiment


def report_of(experiment: Experiment) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(get_bytes(experiment.report_artifact))
    return report


def test_the_report_says_what_each_candidate_is_and_how_its_answers_ended(finished: Experiment) -> None:
    report = report_of(finished)
    lookup, tuned = report["candidates"]
    stored = finished.candidates.get(name="Lookup")
    assert stored.prompt_version is not None
    assert lookup["prompt_hash"] == stored.prompt_version.content_hash
    assert lookup["model_revision"] == stored.language_model.revision
    assert (lookup["parameters"], lookup["order_seed"]) == (stored.parameters, 3)
    assert {output["finish_reason"] for output in lookup["outputs"]} == {"length"}
    assert {output["finish_reason"] for output in tuned["outputs"]} == {"stop"}
    n = len(report["examples"])
    assert (lookup["truncated"], tuned["truncated"]) == (n, 0)
    limit = stored.parameters["max_tokens"]
    said = f"{n} of {n} answers of Lookup ended at the limit of {limit} tokens; they count as they stand."
    assert report["notes"][0] == said


def test_the_report_says_when_it_was_decided_and_how_often_the_test_was_looked_at(finished: Experiment) -> None:
    report = report_of(finished)
    assert report["experiment"]["registration_hash"] == finished.registration_hash != ""
    assert report["experiment"]["looks"] == {"total": 2, "by_other_experiments": 0}
    assert report["notes"][-1].startswith("The test rows of this dataset were looked at 2 times, 0 of them")


def test_the_report_says_what_so_few_test_rows_cannot_show(finished: Experiment) -> None:
    n = finished.dataset_version.test_count
    assert 0 < n < 50
    said = few_test_text(n, alpha=finished.alpha)
    assert said in report_of(finished)["notes"]
    assert plain(said) in report_markdown(finished)


def test_the_report_says_under_what_conditions_latencies_were_measured(finished: Experiment, settings: Any) -> None:
    conditions = report_of(finished)["candidates"][0]["latency_ms"]["conditions"]
    kind = finished.candidates.get(name="Lookup").language_model.kind
    assert conditions["calls_at_once"] == settings.EVALUATION_CONCURRENCY
    assert (kind, conditions["call"], conditions["calls_may_share_a_batch"]) == ("local", "over HTTP", True)
    assert conditions["left_out"] == ["waiting in the model's queue", "opening the model"]


def test_what_the_document_says_can_be_recomputed(finished: Experiment) -> None:
    report = {**report_of(finished), "memory_mib": {"peak_pss": 1.0}}
    report["training"] = {"examples": 1, "epochs": 1, "tokens_per_second": 1.0, "seconds": 1.0}
    report["bootstrap"]["resamples"] = max(report["bootstrap"]["resamples"], 9999)
    assert [line for line in check_report(report).problems if "notes" in line or "truncated" in line] == []
    report["notes"][0] = report["notes"][0].replace(f"{len(report['examples'])} of ", "1 of ")
    assert [line for line in check_report(report).problems if "notes[0]" in line] != []
    report["candidates"][0]["truncated"] += 1
    assert [row.figure for row in check_report(report).disagreements if "truncated" in row.figure] == [
        "Lookup truncated"
    ]


def test_looks_at_a_later_version_of_the_dataset_count_those_at_the_rows_it_inherited(
    finished: Experiment, team: Team, alice: User
) -> None:
    first = finished.dataset_version
    more = [(row.input, row.expected) for row in rows._all(first)] + [("1 New Rd, Newtown", '{"city":"Newtown"}')]
    later = dataset_version_create(actor=alice, dataset=first.dataset, pairs=more)
    assert later.number == first.number + 1
    second = factories.ExperimentFactory.create(team=team, dataset_version=later, created_by=alice)
    for name in NAMES:
        factories.CandidateFactory.create(experiment=second, name=name)
    second = experiment_register(actor=alice, experiment=second, reference=second.candidates.get(name="Tuned"))
    answer_all(second, alice, "Tuned", perfect)
    assert selectors.looks_at_test(second).count() == 3
    assert selectors.leaderboard_document(second)["experiment"]["looks"] == {"total": 3, "by_other_experiments": 2}
    stranger = registered(team, alice, NAMES, reference="Tuned")
    assert selectors.looks_at_test(stranger).count() == 0


def test_the_report_names_what_was_tried_on_validation_and_what_was_chosen(team: Team, alice: User) -> None:
    experiment = draft(team, alice)
    for name in ("Draw 1", "Draw 2"):
        try_on_validation(experiment, alice, name, half)
    chosen = experiment.candidates.get(name="Draw 2").prompt_version
    factories.CandidateFactory.create(experiment=experiment, name="Few-shot", prompt_version=chosen)
    factories.CandidateFactory.create(experiment=experiment, name="Tuned")
    experiment_register(actor=alice, experiment=experiment, reference=experiment.candidates.get(name="Tuned"))
    experiment.refresh_from_db()
    for name in ("Few-shot", "Tuned"):
        answer_all(experiment, alice, name, perfect)
    finish(experiment, alice)
    choices = report_of(experiment)["choices"]
    assert [(choice["candidate"], choice["chosen"]) for choice in choices] == [("Draw 1", False), ("Draw 2", True)]
    assert choices[1]["prompt_hash"] == chosen.content_hash
    assert {(choice["split"], choice["examples"], choice["order_seed"]) for choice in choices} == {("validation", 6, 3)}


def test_the_page_says_under_what_conditions_latencies_were_measured(finished: Experiment, client: Client) -> None:
    client.force_login(finished.created_by)
    text = client.get(reverse("experiment", args=[finished.team.slug, finished.uid])).content.decode()
    assert "others ran beside it and shared its batch" in text
