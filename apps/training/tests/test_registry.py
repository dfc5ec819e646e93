"""From a finished run to one version in the registry, whatever is killed or repeated on the way."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.billing.tests.processes import start_process
from apps.core.artifacts import folder_digest, local_folder
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests.factories import LanguageModelFactory
from apps.experiments import rows
from apps.experiments.tests.world import prompt_of, version_of
from apps.training import workdir
from apps.training.engine.spec import read_spec, resolve
from apps.training.models import ModelVersion, TrainingRun
from apps.training.services.registry import StoredModelDamaged, model_version_register
from apps.training.services.runs import training_run_create, training_run_start
from apps.training.tests.runs import claimed_run, finished, result_folder, taken_over

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def run(team: Team) -> TrainingRun:
    return claimed_run(team)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return result_folder(tmp_path / "result")


def register(run: TrainingRun, result: Path, **changes: Any) -> ModelVersion:
    return model_version_register(actor=None, run=run, result=result, finished=finished(**changes))


def test_a_registered_run_is_finished_ready_and_has_its_lineage(run: TrainingRun, result: Path) -> None:
    version = register(run, result)
    run.refresh_from_db()
    model = run.language_model
    model.refresh_from_db()
    assert (run.status, run.result["step"], run.tokens_per_second) == (JobStatus.SUCCEEDED, 8, 40.0)
    assert (model.state, model.revision) == ("ready", version.digest[:16])
    assert version.digest == folder_digest(result) == folder_digest(local_folder(model.artifact))
    assert version.lineage["dataset"] == run.dataset_version.content_hash
    assert version.lineage["seconds"] == 2.5
    assert version.certificate["checked"] == "weights"
    assert AuditEvent.objects.filter(verb="model_version.registered").count() == 1


def test_a_model_tuned_from_a_tuned_model_names_every_dataset_that_is_in_its_weights(
    team: Team, run: TrainingRun, result: Path, tmp_path: Path
) -> None:
    runs = [run]
    register(run, result)
    for number in range(2):
        runs.append(claimed_run(team, base_model=runs[-1].language_model))
        last = register(runs[-1], result_folder(tmp_path / str(number)))
    seen = [{"dataset": each.dataset_version.content_hash, "split_seed": 7} for each in runs]
    assert last.lineage["datasets"] == seen
    assert last.language_model.facts["datasets"] == seen
    assert ModelVersion.objects.get(run=run).lineage["datasets"] == seen[:1]


def test_the_lineage_names_the_device_that_the_engine_reported(run: TrainingRun, result: Path) -> None:
    TrainingRun.objects.update(device="AVX2, 2 threads")  # as the events do, beside the host's own copy of the row
    assert register(run, result).lineage["device"] == "AVX2, 2 threads"


def test_registering_twice_gives_one_version(run: TrainingRun, result: Path) -> None:
    first = register(run, result)
    assert register(run, result, step=99) == first
    assert ModelVersion.objects.count() == 1
    assert TrainingRun.objects.get().result["step"] == 8


def test_an_attempt_that_was_taken_over_registers_nothing(run: TrainingRun, result: Path) -> None:
    new = taken_over(run)
    with pytest.raises(Conflict, match="Another attempt"):
        register(run, result)
    assert not ModelVersion.objects.exists()
    run.language_model.refresh_from_db()
    assert run.language_model.state == "planned"
    assert TrainingRun.objects.get().status == JobStatus.RUNNING
    assert register(new, result).number == 1


def damage_weights(folder: Path) -> None:
    (folder / "ct2" / "model.bin").write_text("wei")


def damage_certificate(folder: Path) -> None:
    certificate = json.loads((folder / "certificate.json").read_text())
    (folder / "certificate.json").write_text(json.dumps({**certificate, "problems": ["Row x differs."]}))


def damage_lose(folder: Path) -> None:
    (folder / "ct2" / "model.bin").unlink()


def damage_torn(folder: Path) -> None:
    (folder / "certificate.json").write_text('{"checked": ')


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_torn, r"certificate\.json cannot be read\."),
        (damage_weights, r"ct2/model\.bin is not the file that was certified\."),
        (damage_lose, r"ct2/model\.bin is missing\."),
        (damage_certificate, r"Row x differs\."),
    ],
)
def test_a_stored_model_that_is_not_the_certified_one_is_not_registered(
    damage: Any, said: str, run: TrainingRun, result: Path, tmp_path: Path
) -> None:
    stored = local_folder(f"models/{run.language_model.served_name}")
    shutil.copytree(result_folder(tmp_path / "stored"), stored)
    damage(stored)
    with pytest.raises(StoredModelDamaged, match=said):
        register(run, result)
    assert not ModelVersion.objects.exists()
    run.language_model.refresh_from_db()
    assert (run.language_model.state, TrainingRun.objects.get().status) == ("planned", JobStatus.RUNNING)
    # What was found is gone, so that the next attempt stores a whole one.
    assert register(run, result).digest == folder_digest(stored)


def test_an_attempt_that_was_taken_over_leaves_a_damaged_store_alone(run: TrainingRun, result: Path) -> None:
    stored = local_folder(f"models/{run.language_model.served_name}")
    shutil.copytree(result, stored)
    damage_lose(stored)
    taken_over(run)
    with pytest.raises(Conflict, match="Another attempt"):
        register(run, result)
    assert stored.exists()


def die_registering(pk: int, result: str, folder: str) -> None:
    os.environ.update(LLMOPT_FAULT="register", LLMOPT_FAULT_DIR=folder)
    register(TrainingRun.objects.get(pk=pk), Path(result))


def test_a_kill_between_the_files_and_the_rows_is_made_good_by_the_next_attempt(
    run: TrainingRun, result: Path, tmp_path: Path
) -> None:
    process = start_process(die_registering, run.pk, str(result), str(tmp_path))
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert local_folder(f"models/{run.language_model.served_name}").exists()
    assert not ModelVersion.objects.exists()

    # The engine may have exported again; what is served and certified is what was stored first.
    version = register(taken_over(run), result_folder(tmp_path / "again", "other weights"))
    assert ModelVersion.objects.get() == version
    stored = local_folder(f"models/{run.language_model.served_name}")
    assert version.digest == folder_digest(stored)
    assert version.certificate["checked"] == (stored / "ct2" / "model.bin").read_text()


def test_versions_of_a_team_are_numbered_without_gaps(team: Team, tmp_path: Path) -> None:
    numbers = [register(claimed_run(team), result_folder(tmp_path / str(n))).number for n in range(3)]
    assert numbers == [1, 2, 3]


def register_here(pk: int, result: str) -> None:
    register(TrainingRun.objects.get(pk=pk), Path(result))


def test_runs_that_end_at_once_get_different_numbers(team: Team, tmp_path: Path) -> None:
    runs = [claimed_run(team) for _ in range(3)]
    folders = [result_folder(tmp_path / str(n)) for n in range(3)]
    processes = [start_process(register_here, run.pk, str(path)) for run, path in zip(runs, folders, strict=True)]
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(ModelVersion.objects.values_list("number", flat=True)) == [1, 2, 3]


# --- planning


def plan(team: Team, actor: User, **changes: Any) -> TrainingRun:
    version = changes.pop("version", None) or version_of(team, actor)
    values: dict[str, Any] = {
        "name": "Tuned",
        "base_model": LanguageModelFactory.create(team=team, artifact="models/base"),
        "dataset_version": version,
        "prompt_version": prompt_of(team, actor),
        "spec": {"epochs": 1, "learning_rate": 0.001},
    }
    return training_run_create(actor=actor, team=team, **{**values, **changes})


def test_a_run_plans_the_model_that_it_will_make(team: Team, bob: User) -> None:
    run = plan(team, bob)
    assert (run.status, run.language_model.state, run.language_model.kind) == ("planned", "planned", "trained")
    assert training_run_start(actor=bob, run=run)
    assert not training_run_start(actor=bob, run=run)
    assert TrainingRun.objects.get().status == JobStatus.QUEUED


def test_a_spec_that_the_engine_would_refuse_is_refused_at_once(team: Team, bob: User) -> None:
    with pytest.raises(ApplicationError, match="epochs"):
        plan(team, bob, spec={"epochs": -1})
    assert not TrainingRun.objects.exists()


def test_a_viewer_trains_nothing(team: Team, bob: User, vera: User) -> None:
    version = version_of(team, bob)
    prompt = prompt_of(team, bob)
    with pytest.raises(NotAllowed):
        plan(team, vera, version=version, prompt_version=prompt)


def test_the_engine_reads_training_and_validation_rows_and_no_test_row(team: Team, bob: User, settings: Any) -> None:
    settings.VAR_DIR = settings.STORAGES["artifacts"]["OPTIONS"]["location"].parent
    version = version_of(team, bob)
    run = plan(team, bob, version=version, spec={"epochs": 1, "base_model": "/etc", "learning_rate": 0.001})
    folder = workdir.prepare(run)
    text = "".join((folder / name).read_text() for name in ("train.jsonl", "validation.jsonl", "spec.json"))
    hidden = [row for row in rows._all(version) if row.split == "test"]
    assert len(hidden) >= 5
    assert not [row.input for row in hidden if row.input in text or row.id in text]
    assert (folder / "train.jsonl").read_text().count("\n") == version.train_count
    assert (folder / "validation.jsonl").read_text().count("\n") == version.validation_count
    assert '"/etc"' not in (folder / "spec.json").read_text()


def test_a_run_that_was_interrupted_finds_its_base_model_where_the_installation_was_moved_to(
    team: Team, bob: User, settings: Any, tmp_path: Path
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    settings.VAR_DIR = before
    artifacts = {**settings.STORAGES["artifacts"], "OPTIONS": {"location": before / "artifacts"}}
    settings.STORAGES = {**settings.STORAGES, "artifacts": artifacts}
    (before / "artifacts" / "models" / "base" / "hf").mkdir(parents=True)
    folder = workdir.prepare(plan(team, bob))
    before.rename(after)

    moved = after / folder.relative_to(before)

    spec = read_spec(moved / "spec.json")
    assert resolve(moved, spec.base_model).samefile(after / "artifacts" / "models" / "base" / "hf")
