"""What is asked, of whom and against whom is written down once, before the first test score."""

from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent
from apps.core.tests.factories import LanguageModelFactory, PromptVersionFactory
from apps.evaluation.models import Evaluation, TestLook
from apps.evaluation.services.evaluations import choice_evaluation_create, final_evaluation_create
from apps.experiments.models import Candidate, DatasetVersion, Experiment
from apps.experiments.selectors import contenders
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.experiments import (
    experiment_create,
    experiment_finish,
    experiment_register,
    registration_hash,
)
from apps.experiments.tests.world import PARAMETERS, add_baseline, add_prompted, experiment_of, prompt_of, version_of
from apps.providers.models import LanguageModel
from apps.providers.services import language_model_ready
from apps.training.services.registry import run_lineage
from apps.training.services.runs import training_run_create

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def version(team: Team, bob: User) -> DatasetVersion:
    return version_of(team, bob)


@pytest.fixture
def draft(version: DatasetVersion, bob: User) -> Experiment:
    """Two contenders and a trial."""
    experiment = experiment_of(version, bob)
    add_prompted(experiment, bob, "One")
    add_prompted(experiment, bob, "Two")
    add_baseline(experiment, bob, "most_frequent", trial=True)
    return experiment


def candidate(experiment: Experiment, name: str) -> Candidate:
    found: Candidate = experiment.candidates.get(name=name)
    return found


def test_registering_writes_reference_family_and_hash_and_freezes_the_contenders(draft: Experiment, bob: User) -> None:
    experiment_register(actor=bob, experiment=draft, reference=candidate(draft, "Two"))
    stored = Experiment.objects.get(pk=draft.pk)
    assert stored.state == Experiment.State.REGISTERED
    assert stored.reference == candidate(draft, "Two")
    assert stored.family == [["One", "Two"]]
    assert stored.registered_at is not None
    assert all(row.frozen_at == stored.registered_at for row in contenders(stored))
    assert draft.candidates.get(trial=True).frozen_at is None
    assert AuditEvent.objects.get(verb="experiment.registered").facts["hash"] == stored.registration_hash


def test_an_experiment_is_registered_once(draft: Experiment, bob: User) -> None:
    stale = Experiment.objects.get(pk=draft.pk)
    experiment_register(actor=bob, experiment=draft, reference=candidate(draft, "Two"))
    first = Experiment.objects.get(pk=draft.pk)
    for row in (draft, stale):
        with pytest.raises(Conflict, match="registered already"):
            experiment_register(actor=bob, experiment=row, reference=candidate(draft, "One"))
    again = Experiment.objects.get(pk=draft.pk)
    assert (again.reference, again.registration_hash) == (first.reference, first.registration_hash)


def test_no_candidate_joins_after_that_however_old_the_page_is(draft: Experiment, bob: User) -> None:
    stale = Experiment.objects.get(pk=draft.pk)
    experiment_register(actor=bob, experiment=draft, reference=candidate(draft, "Two"))
    for row in (draft, stale):
        with pytest.raises(Conflict, match="candidates are frozen"):
            add_prompted(row, bob, "Three")
    assert len(contenders(draft)) == 2


def test_the_final_test_is_refused_before_registration_and_for_a_trial(draft: Experiment, bob: User) -> None:
    with pytest.raises(Conflict, match="needs a registered experiment"):
        final_evaluation_create(actor=bob, candidate=candidate(draft, "One"), order_seed=1)
    experiment_register(actor=bob, experiment=draft, reference=candidate(draft, "Two"))
    with pytest.raises(Conflict):
        final_evaluation_create(actor=bob, candidate=draft.candidates.get(trial=True), order_seed=1)
    assert not Evaluation.objects.exists()
    assert not TestLook.objects.exists()


def test_each_final_test_is_one_recorded_look(draft: Experiment, bob: User) -> None:
    experiment_register(actor=bob, experiment=draft, reference=candidate(draft, "Two"))
    one = final_evaluation_create(actor=bob, candidate=candidate(draft, "One"), order_seed=1)
    again = final_evaluation_create(actor=bob, candidate=candidate(draft, "One"), order_seed=99)
    two = final_evaluation_create(actor=bob, candidate=candidate(draft, "Two"), order_seed=1)
    assert one == again
    assert one.example_ids == two.example_ids
    assert one.example_ids != sorted(one.example_ids)
    looks = TestLook.objects.order_by("id")
    assert [look.evaluation for look in looks] == [one, two]
    assert looks[0].actor == bob
    assert looks[0].decision.startswith("final test of One, registered as ")


def test_a_choice_sees_validation_alone_and_is_no_look(draft: Experiment, bob: User, version: DatasetVersion) -> None:
    from apps.experiments import rows

    chosen = choice_evaluation_create(actor=bob, candidate=draft.candidates.get(trial=True), order_seed=1, limit=4)
    assert len(chosen.example_ids) == 4
    assert set(chosen.example_ids) <= {row.id for row in rows.validation_rows(version)}
    assert not TestLook.objects.exists()


CHANGES: list[tuple[str, Any]] = [
    ("metrics", ["field_f1"]),
    ("primary_metric", "exact_match"),
    ("margin", 0.1),
    ("alpha", 0.01),
    ("bootstrap_seed", 6),
    ("bootstrap_resamples", 99),
]


def current_hash(experiment: Experiment, reference: str = "Two", family: Any = None) -> str:
    rows = contenders(experiment)
    return registration_hash(experiment, rows, candidate(experiment, reference), family or [["One", "Two"]])


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_the_hash_changes_with_each_part_of_the_definition(draft: Experiment, field: str, value: Any) -> None:
    before = current_hash(draft)
    assert current_hash(draft) == before
    setattr(draft, field, value)
    assert current_hash(draft) != before


def test_the_hash_changes_with_data_reference_family_and_each_part_of_a_candidate(
    draft: Experiment, team: Team, bob: User
) -> None:
    hashes = [current_hash(draft), current_hash(draft, reference="One"), current_hash(draft, family=[["Two", "One"]])]
    for field, value in (
        ("name", "Renamed"),
        ("kind", "tuned"),
        ("parameters", {**PARAMETERS, "max_tokens": 17}),
        ("language_model", LanguageModelFactory.create(team=team)),
        ("prompt_version", prompt_of(team, bob, "Other: {{ input }}")),
    ):
        rows = contenders(draft)
        setattr(rows[0], field, value)
        hashes.append(registration_hash(draft, rows, rows[1], [["One", "Two"]]))
    draft.dataset_version = version_of(team, bob, count=59, name="Other", seed=7)
    hashes.append(current_hash(draft))
    draft.dataset_version.dataset.split_seed = 8
    hashes.append(current_hash(draft))
    assert len(set(hashes)) == len(hashes)


def test_the_hash_changes_with_the_revision_of_a_model_that_answers_already(draft: Experiment) -> None:
    before = current_hash(draft)
    LanguageModel.objects.filter(pk=candidate(draft, "One").language_model_id).update(revision="another")
    assert current_hash(draft) != before


def test_of_a_model_that_is_still_to_be_trained_its_plan_is_registered(
    draft: Experiment, team: Team, bob: User, version: DatasetVersion
) -> None:
    """And stays so when it is ready, unless it was trained otherwise."""
    run = training_run_create(
        actor=bob, team=team, name="Tuned", base_model=LanguageModelFactory.create(team=team, revision="b1"),
        dataset_version=version, prompt_version=prompt_of(team, bob), spec={"method": "lora", "epochs": 1, "seed": 1},
    )  # fmt: skip
    add_prompted(draft, bob, "Tuned", language_model=run.language_model, kind="tuned")
    planned = current_hash(draft)

    finished = {"files": {}, "train_seconds": 1.0, "phase_seconds": {}}
    as_planned = run_lineage(run, finished)
    language_model_ready(
        actor=bob, model=run.language_model, revision="r1", artifact="a", context_length=9, facts=as_planned
    )
    assert current_hash(draft) == planned

    for change in ({"epochs": 2}, {"seed": 2}):
        otherwise = {**as_planned, "spec": {**run.spec, **change}}
        LanguageModel.objects.filter(pk=run.language_model_id).update(facts=otherwise)
        assert current_hash(draft) != planned
    for change in ({"base_revision": "b2"}, {"dataset": "another"}, {"prompt": "another"}):
        LanguageModel.objects.filter(pk=run.language_model_id).update(facts={**as_planned, **change})
        assert current_hash(draft) != planned


def test_the_hash_is_of_what_is_stored_not_of_what_a_caller_changed_in_memory(draft: Experiment, bob: User) -> None:
    expected = current_hash(Experiment.objects.get(pk=draft.pk))
    draft.margin = 0.5
    registered = experiment_register(actor=bob, experiment=draft, reference=candidate(draft, "Two"))
    assert registered.registration_hash == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"primary_metric": "bleu"}, "must be one of the metrics"),
        ({"margin": 0.0}, "above zero"),
        ({"margin": float("nan")}, "above zero"),
        ({"alpha": 1.0}, "between 0 and 1"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(
    version: DatasetVersion, bob: User, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ApplicationError, match=said):
        experiment_of(version, bob, **changes)
    assert not Experiment.objects.exists()


def test_an_experiment_needs_two_candidates_and_a_reference_among_them(version: DatasetVersion, bob: User) -> None:
    experiment = experiment_of(version, bob)
    only = add_prompted(experiment, bob, "One")
    trial = add_baseline(experiment, bob, "most_frequent", trial=True)
    with pytest.raises(ApplicationError, match="at least two"):
        experiment_register(actor=bob, experiment=experiment, reference=only)
    with pytest.raises(ApplicationError, match="must be one of the candidates"):
        experiment_register(actor=bob, experiment=experiment, reference=trial)


def test_nothing_of_another_team_takes_part(
    draft: Experiment, team: Team, other_team: Team, alice: User, charlie: User
) -> None:
    from apps.core.tests.factories import MembershipFactory

    MembershipFactory.create(team=other_team, user=alice, role="owner")  # alice is in both teams
    foreign = LanguageModelFactory.create(team=other_team)
    with pytest.raises(ApplicationError, match="must belong to the experiment's team"):
        add_prompted(draft, alice, "Foreign model", language_model=foreign)
    with pytest.raises(ApplicationError, match="must belong to the experiment's team"):
        add_prompted(
            draft, alice, "Foreign prompt", prompt_version=PromptVersionFactory.create(prompt__team=other_team)
        )
    theirs = version_of(other_team, charlie)
    with pytest.raises(ApplicationError, match="must belong to the experiment's team"):
        experiment_create(
            actor=alice, team=team, name="x", question="x?", dataset_version=theirs,
            metrics=["field_f1"], primary_metric="field_f1", margin=0.1, alpha=0.05, bootstrap_seed=1,
        )  # fmt: skip


def test_a_viewer_changes_nothing(draft: Experiment, vera: User) -> None:
    with pytest.raises(NotAllowed):
        experiment_register(actor=vera, experiment=draft, reference=candidate(draft, "One"))
    with pytest.raises(NotAllowed):
        candidate_add(
            actor=vera, experiment=draft, name="x", kind="prompted", parameters=PARAMETERS,
            language_model=candidate(draft, "One").language_model, prompt_version=None,
        )  # fmt: skip
    assert Experiment.objects.get(pk=draft.pk).state == Experiment.State.DRAFT


def test_a_finished_experiment_keeps_its_first_conclusion(draft: Experiment, bob: User) -> None:
    experiment_register(actor=bob, experiment=draft, reference=candidate(draft, "Two"))
    for kind in ("reference_best", "no_winner"):
        experiment_finish(
            actor=bob, experiment=draft, conclusion_kind=kind, conclusion_text=kind, report_artifact=f"{kind}.json"
        )
    stored = Experiment.objects.get(pk=draft.pk)
    assert (stored.conclusion_kind, stored.report_artifact) == ("reference_best", "reference_best.json")


def test_a_baseline_is_fitted_on_training_rows_alone(draft: Experiment, version: DatasetVersion) -> None:
    from apps.core.artifacts import get_bytes
    from apps.experiments import rows

    hidden = [row for row in rows._all(version) if row.split != "train"]
    for method in ("most_frequent", "nearest", "token_lookup"):
        from apps.experiments.services.baselines import baseline_model

        model = baseline_model(actor=None, team=draft.team, dataset_version=version, method=method)
        fitted = get_bytes(model.artifact).decode()
        assert model.facts["rows"] == version.train_count
        assert not [row.input for row in hidden if row.input in fitted]
        assert baseline_model(actor=None, team=draft.team, dataset_version=version, method=method) == model
