"""Putting an experiment together in the browser: definition, candidates, validation, final test, clone, notes."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing.models import Budget
from apps.core.models import JobStatus
from apps.evaluation import tasks as evaluation_tasks
from apps.evaluation.models import Evaluation, TestLook
from apps.experiments import rows
from apps.experiments.models import Candidate, DatasetVersion, Experiment
from apps.experiments.tests.world import version_of
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart import service
from apps.workspace.tasks import experiment_run_advance
from apps.workspace.tests.test_quickstart import demo

__all__ = ["demo"]

DEFINITION: dict[str, Any] = {
    "name": "Which address splitter",
    "question": "Is a model needed?",
    "primary_metric": "field_f1",
    "metrics": ["field_f1", "exact_match", "valid_rate"],
    "margin": "0.05",
    "alpha": "0.05",
    "budget": "1.5",
}


@pytest.fixture
def version(demo: tuple[Team, User], artifact_folder: Any) -> DatasetVersion:
    return version_of(*demo, count=120)


@pytest.fixture
def alice(client: Client, demo: tuple[Team, User]) -> Client:
    client.force_login(demo[1])
    return client


def made(alice: Client, version: DatasetVersion, **changes: str) -> Experiment:
    address = reverse("experiment_new", args=[version.dataset.team.slug])
    answer = alice.post(f"{address}?dataset_version={version.uid}", {**DEFINITION, **changes})
    assert answer.status_code == 302, answer.content.decode()
    return Experiment.objects.latest("id")


def at(name: str, experiment: Experiment, *more: Any) -> str:
    return reverse(name, args=[experiment.team.slug, experiment.uid, *more])


def baselines_added(alice: Client, experiment: Experiment, *methods: str) -> None:
    answer = alice.post(
        at("candidates_new", experiment), {"baselines": list(methods), "max_tokens": "40", "temperature": "0"}
    )
    assert answer.status_code == 302, answer.content.decode()


def name_reference(alice: Client, experiment: Experiment, name: str) -> None:
    candidate = experiment.candidates.get(name=name)
    alice.post(at("candidate_reference", experiment, candidate.uid))


def worked(run: ExperimentRun) -> ExperimentRun:
    """What the workers would do, one message after the other."""
    for _turn in range(100):
        experiment_run_advance(run.pk)
        for evaluation in Evaluation.objects.filter(status=JobStatus.QUEUED):
            evaluation_tasks.evaluation_slice(evaluation.pk)
        run.refresh_from_db()
        if run.status in {JobStatus.SUCCEEDED, JobStatus.FAILED}:
            return run
    raise AssertionError("the run did not end")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, empty_cache_memory: None) -> None:
    monkeypatch.setattr(service, "SLICE_SECONDS", 0.05)
    monkeypatch.setattr(service, "POLL_SECONDS", 0.0)


@pytest.mark.django_db
def test_a_new_experiment_measures_all_that_its_answers_allow_within_its_own_budget(
    alice: Client, version: DatasetVersion
) -> None:
    experiment = made(alice, version)
    assert experiment.metrics == ["field_f1", "exact_match", "valid_rate"]
    assert Budget.objects.get(experiment=experiment).limit_nanousd == 1_500_000_000
    page = alice.get(at("experiment_candidates", experiment)).content.decode()
    assert "No candidate yet" in page
    assert "Run final test" not in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("margin", "0", "above zero"),
        ("alpha", "1", "between 0 and 1"),
        ("primary_metric", "accuracy", "accuracy"),
        ("metrics", ["exact_match"], "The primary metric must be one of the metrics."),
        ("metrics", ["accuracy"], "accuracy"),
    ],
)
def test_a_wrong_definition_is_refused_at_its_field_and_kept(
    alice: Client, version: DatasetVersion, field: str, value: str | list[str], said: str
) -> None:
    address = reverse("experiment_new", args=[version.dataset.team.slug])
    answer = alice.post(f"{address}?dataset_version={version.uid}", {**DEFINITION, field: value})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert DEFINITION["name"] in answer.content.decode()
    assert not Experiment.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_from_candidates_over_validation_to_the_final_test(alice: Client, version: DatasetVersion, quick: None) -> None:
    experiment = made(alice, version)
    baselines_added(alice, experiment, "most_frequent", "token_lookup")
    alice.post(at("experiment_validate", experiment))
    for evaluation in Evaluation.objects.all():
        evaluation_tasks.evaluation_slice(evaluation.pk)
    page = alice.get(at("experiment_candidates", experiment)).content.decode()
    assert page.count("Finished") >= 2
    assert not TestLook.objects.exists()

    said = alice.post(at("experiment_final_test", experiment), follow=True).content.decode()
    assert "Name the reference" in said
    assert not ExperimentRun.objects.exists()

    name_reference(alice, experiment, "Token lookup")
    answer = alice.post(at("experiment_final_test", experiment))
    assert answer.url == at("experiment", experiment)  # type: ignore[attr-defined]
    run = worked(ExperimentRun.objects.get())
    assert (run.status, run.error) == (JobStatus.SUCCEEDED, "")
    experiment.refresh_from_db()
    assert experiment.state == Experiment.State.FINISHED
    assert experiment.family == [["Most frequent answer", "Token lookup"]]
    assert TestLook.objects.filter(experiment=experiment).count() == 2
    assert "Token lookup" in alice.get(at("experiment", experiment)).content.decode()


@pytest.mark.django_db(transaction=True)
def test_what_is_added_after_results_is_marked_and_decides_nothing(
    alice: Client, version: DatasetVersion, quick: None
) -> None:
    experiment = made(alice, version)
    baselines_added(alice, experiment, "most_frequent", "nearest")
    name_reference(alice, experiment, "Nearest training example")
    alice.post(at("experiment_final_test", experiment))
    worked(ExperimentRun.objects.get())

    alice.post(at("experiment_clone", experiment))
    clone = Experiment.objects.latest("id")
    assert (clone.version_number, clone.previous) == (2, experiment)
    assert clone.reference == clone.candidates.get(name="Nearest training example")
    baselines_added(alice, clone, "token_lookup")
    late = Candidate.objects.get(experiment=clone, late=True)
    assert late.name == "Token lookup"
    page = alice.get(at("experiment_candidates", clone)).content.decode()
    assert "made after results had been seen" in page

    alice.post(at("experiment_final_test", clone))
    run = worked(ExperimentRun.objects.get(experiment=clone))
    clone.refresh_from_db()
    assert (run.error, clone.state) == ("", Experiment.State.FINISHED)
    assert clone.family == [["Most frequent answer", "Nearest training example"]]
    assert "Nearest training example" in clone.conclusion_text
    assert "Token lookup" not in clone.conclusion_text


@pytest.mark.django_db
def test_a_late_candidate_cannot_be_the_reference_of_two(alice: Client, version: DatasetVersion) -> None:
    experiment = made(alice, version)
    baselines_added(alice, experiment, "most_frequent")
    said = alice.post(at("experiment_final_test", experiment), follow=True).content.decode()
    assert "Add at least two candidates" in said


@pytest.mark.django_db
def test_a_candidate_can_be_taken_back_until_it_was_tried(alice: Client, version: DatasetVersion) -> None:
    experiment = made(alice, version)
    baselines_added(alice, experiment, "most_frequent", "nearest")
    alice.post(at("candidate_remove", experiment, experiment.candidates.get(name="Most frequent answer").uid))
    assert [each.name for each in experiment.candidates.all()] == ["Nearest training example"]
    alice.post(at("experiment_validate", experiment))
    tried = experiment.candidates.get()
    said = alice.post(at("candidate_remove", experiment, tried.uid), follow=True).content.decode()
    assert "stays on record" in said
    assert experiment.candidates.exists()


@pytest.mark.django_db
def test_the_definition_of_a_draft_can_be_changed(alice: Client, version: DatasetVersion) -> None:
    experiment = made(alice, version)
    changes = {**DEFINITION, "margin": "0.1", "primary_metric": "exact_match", "metrics": ["exact_match"]}
    assert alice.post(at("experiment_edit", experiment), changes).status_code == 302
    experiment.refresh_from_db()
    assert (experiment.margin, experiment.primary_metric) == (0.1, "exact_match")
    assert experiment.metrics == ["exact_match"]


@pytest.mark.django_db
def test_notes_and_activity_are_shown_to_all_and_written_by_editors(alice: Client, version: DatasetVersion) -> None:
    experiment = made(alice, version)
    alice.post(at("experiment_notes", experiment), {"notes": "Ask Bob about the zip codes."})
    page = alice.get(at("experiment_notes", experiment)).content.decode()
    assert "Ask Bob about the zip codes." in page
    assert re.search(r"created the experiment|wrote notes", page)


@pytest.mark.django_db
def test_another_teams_data_models_and_candidates_do_not_exist_here(
    alice: Client, version: DatasetVersion, artifact_folder: Any
) -> None:
    from apps.core.tests import factories

    stranger = factories.MembershipFactory.create(role="owner")
    theirs = version_of(stranger.team, stranger.user, count=60, name="Theirs")
    model = factories.LanguageModelFactory.create(team=stranger.team)
    prompt = factories.PromptVersionFactory.create(prompt__team=stranger.team)
    experiment = made(alice, version)
    address = reverse("experiment_new", args=[experiment.team.slug])
    assert alice.post(f"{address}?dataset_version={theirs.uid}", DEFINITION).status_code == 404
    assert alice.get(f"{address}?dataset_version='").status_code == 404
    picked = {"models": [str(model.uid)], "prompts": [str(prompt.uid)], "max_tokens": "9", "temperature": "0"}
    assert alice.post(at("candidates_new", experiment), picked).status_code == 422
    assert not experiment.candidates.exists()
    assert alice.get(reverse("plan", args=[experiment.team.slug, theirs.dataset.uid, 1])).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_fresh_test_set_makes_a_late_candidate_count(
    alice: Client, demo: tuple[Team, User], artifact_folder: Any, quick: None
) -> None:
    version = version_of(*demo, count=600, name="Many")
    experiment = made(alice, version)
    baselines_added(alice, experiment, "most_frequent", "nearest")
    name_reference(alice, experiment, "Nearest training example")
    alice.post(at("experiment_final_test", experiment))
    worked(ExperimentRun.objects.get())
    alice.post(at("experiment_fresh_test", experiment))
    clone = Experiment.objects.latest("id")
    assert clone.dataset_version.dataset != version.dataset
    seen, fresh = set(rows.test_ids(version)), set(rows.test_ids(clone.dataset_version))
    assert len(fresh) >= 50
    assert not seen & fresh
    baselines_added(alice, clone, "token_lookup")
    assert not clone.candidates.filter(late=True).exists()
