"""No candidate is tested on rows that it was shown or fitted on, and nothing is built from another team's parts."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, Conflict
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests import factories
from apps.evaluation.services.evaluations import evaluation_start, final_evaluation_create
from apps.experiments import rows
from apps.experiments.engine.prompts import Demonstration, PromptSpec
from apps.experiments.models import DatasetVersion, Experiment
from apps.experiments.services.baselines import baseline_model
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.datasets import dataset_version_create
from apps.experiments.services.experiments import experiment_register
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.baselines import NEAREST
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.training.services.registry import model_version_register
from apps.training.services.runs import training_run_create
from apps.training.tests.runs import claimed_run, finished, result_folder

pytestmark = pytest.mark.django_db(transaction=True)


def version(team: Team, owner: User, *, seed: int) -> DatasetVersion:
    """The same 80 addresses in every dataset; the seed alone decides which of them are test rows."""
    dataset = factories.DatasetFactory.create(team=team, created_by=owner, split_seed=seed)
    pairs = [(f"{n} Main St, City {n}", json.dumps({"number": str(n), "city": f"City {n}"})) for n in range(80)]
    return dataset_version_create(actor=owner, dataset=dataset, pairs=pairs)


def experiment_on(dataset_version: DatasetVersion, owner: User) -> Experiment:
    made: Experiment = factories.ExperimentFactory.create(
        team=dataset_version.dataset.team, dataset_version=dataset_version, created_by=owner
    )
    return made


def add(experiment: Experiment, owner: User, model: LanguageModel, **changes: Any) -> Any:
    values = {"name": model.name, "kind": "baseline", "prompt_version": None, "parameters": {}, **changes}
    return candidate_add(actor=owner, experiment=experiment, language_model=model, **values)


def test_a_prompt_that_shows_a_test_row_of_this_dataset_is_refused(team: Team, alice: User) -> None:
    here, there = version(team, alice, seed=1), version(team, alice, seed=2)
    experiment = experiment_on(here, alice)
    locked = set(rows.test_ids(here))
    leak, clean = (
        next(row for row in rows.train_rows(there) if (row.id in locked) is wanted) for wanted in (True, False)
    )
    model = factories.LanguageModelFactory.create(team=team)
    prompts = {}
    for name, row in (("leak", leak), ("clean", clean)):
        shown = Demonstration(id=row.id, input=row.input, expected=row.expected)
        spec = PromptSpec(messages=(Message("user", "{{ input }}"),), demonstrations=(shown,))
        prompts[name] = prompt_version_create(actor=alice, team=team, name=name, spec=spec, demonstrations_from=there)
    with pytest.raises(ApplicationError, match="shows 1 test rows"):
        add(experiment, alice, model, name="leak", kind="prompted", prompt_version=prompts["leak"])
    assert add(experiment, alice, model, name="clean", kind="prompted", prompt_version=prompts["clean"]).pk


def test_a_model_fitted_on_another_split_of_these_rows_is_not_tested(team: Team, alice: User) -> None:
    here, there = version(team, alice, seed=1), version(team, alice, seed=2)
    experiment = experiment_on(here, alice)
    own = add(experiment, alice, baseline_model(actor=alice, team=team, dataset_version=here, method=NEAREST))
    foreign_model = baseline_model(actor=alice, team=team, dataset_version=there, method=NEAREST)
    foreign = add(experiment, alice, foreign_model, name="Fitted elsewhere")
    experiment_register(actor=alice, experiment=experiment, reference=own)
    own.refresh_from_db()
    foreign.refresh_from_db()

    with pytest.raises(Conflict, match="was fitted on"):
        evaluation_start(actor=alice, evaluation=final_evaluation_create(actor=alice, candidate=foreign, order_seed=1))

    evaluation = final_evaluation_create(actor=alice, candidate=own, order_seed=1)
    assert evaluation_start(actor=alice, evaluation=evaluation) is True
    assert evaluation_start(actor=alice, evaluation=evaluation) is False
    evaluation.refresh_from_db()
    assert evaluation.status == JobStatus.QUEUED
    assert AuditEvent.objects.filter(verb="evaluation.started", object_uid=evaluation.uid).count() == 1


def trained_on(
    dataset_version: DatasetVersion, owner: User, base: LanguageModel, folder: Path, name: str
) -> LanguageModel:
    """A model tuned from `base`, registered as a training host does."""
    team = dataset_version.dataset.team
    run = claimed_run(team, base_model=base, dataset_version=dataset_version, created_by=owner, name=name)
    model_version_register(actor=None, run=run, result=result_folder(folder / name), finished=finished())
    run.language_model.refresh_from_db()
    return run.language_model


def test_a_model_is_not_tested_on_rows_that_the_model_it_was_tuned_from_has_seen(
    team: Team, alice: User, tmp_path: Path
) -> None:
    here, there = version(team, alice, seed=1), version(team, alice, seed=2)
    base = factories.LanguageModelFactory.create(team=team)
    clean = trained_on(here, alice, trained_on(here, alice, base, tmp_path, "first"), tmp_path, "second")
    leaky = base
    for number, dataset_version in enumerate((there, here, here)):
        leaky = trained_on(dataset_version, alice, leaky, tmp_path, f"leaky-{number}")
    assert leaky.facts["dataset"] == here.content_hash  # the last training alone would look clean

    experiment = experiment_on(here, alice)
    candidates = [
        add(experiment, alice, model, name=name, kind="tuned") for name, model in (("clean", clean), ("leaky", leaky))
    ]
    experiment_register(actor=alice, experiment=experiment, reference=candidates[0])
    evaluations = [
        final_evaluation_create(actor=alice, candidate=experiment.candidates.get(name=name), order_seed=1)
        for name in ("clean", "leaky")
    ]
    assert evaluation_start(actor=alice, evaluation=evaluations[0])
    with pytest.raises(Conflict, match=rf"was fitted on \d+ of these test rows, which it saw in {there.dataset.name}"):
        evaluation_start(actor=alice, evaluation=evaluations[1])


def test_nothing_is_fitted_or_trained_on_another_teams_rows(
    team: Team, alice: User, other_team: Team, charlie: User
) -> None:
    theirs = version(other_team, charlie, seed=1)
    with pytest.raises(ApplicationError, match="must belong to the model's team"):
        baseline_model(actor=alice, team=team, dataset_version=theirs, method=NEAREST)
    row = rows.train_rows(theirs)[0]
    shown = Demonstration(id=row.id, input=row.input, expected=row.expected)
    spec = PromptSpec(messages=(Message("user", "{{ input }}"),), demonstrations=(shown,))
    with pytest.raises(ApplicationError, match="prompt's team"):
        prompt_version_create(actor=alice, team=team, name="p", spec=spec, demonstrations_from=theirs)
    with pytest.raises(ApplicationError, match="team that trains"):
        training_run_create(
            actor=alice,
            team=team,
            name="run",
            base_model=factories.LanguageModelFactory.create(team=team),
            dataset_version=theirs,
            prompt_version=factories.PromptVersionFactory.create(prompt__team=team),
            spec={},
        )
    assert not LanguageModel.objects.filter(team=team, kind=LanguageModel.Kind.TRAINED).exists()
