"""The quickstart from the first row to the report: everything that users use takes part, and no test row leaks."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.billing import connections, selectors
from apps.core import jobs
from apps.core.artifacts import get_bytes
from apps.core.errors import ApplicationError
from apps.core.models import JobStatus
from apps.core.tests.installation import ROOT, free_port
from apps.evaluation import tasks as evaluation_tasks
from apps.evaluation.models import Evaluation, Output, TestLook
from apps.experiments import rows
from apps.experiments.models import Dataset, DatasetVersion, Experiment, PromptVersion
from apps.providers.engine.clients.base import GenerateRequest, GenerateResult, Usage
from apps.providers.models import LanguageModel
from apps.training import workdir
from apps.training.models import ModelVersion, TrainingRun
from apps.training.services.registry import model_version_register
from apps.training.tests.runs import finished, result_folder
from apps.workspace.demo import demo_team_ensure
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart import making, service, steps
from apps.workspace.quickstart.definition import COMMITTED, definition_hash, read_definition
from apps.workspace.quickstart.progress import progress_of
from apps.workspace.quickstart.sequence import steps_of
from apps.workspace.quickstart.service import experiment_run_start
from apps.workspace.tasks import experiment_run_advance
from scripts import kill_test
from scripts.kill_lib import small

REPORT_KEYS = {
    "schema", "experiment", "dataset", "examples", "candidates", "comparisons", "conclusion", "training", "seconds",
    "memory_mib", "bootstrap", "versions",
}  # fmt: skip


class Spy:
    """Stands where the inference process would, and notes what it is shown and when."""

    def __init__(self) -> None:
        self.before_registration: list[str] = []
        self.after_registration: list[str] = []
        self.registered = False

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        seen = self.after_registration if self.registered else self.before_registration
        seen.append("\n".join(message.content for message in request.messages))
        return GenerateResult(
            text='{"city":"Waco"}', finish_reason="stop", usage=Usage(9, 5), latency_ms=2.0, compute_seconds=0.001,
            model_reported="spy", request_id="s",
        )  # fmt: skip

    async def aclose(self) -> None:
        return None


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch, empty_cache_memory: None) -> Spy:
    """Every model but the baselines is the spy; metering, queue rows and services are real."""
    made, real = Spy(), connections._local_client
    monkeypatch.setattr(
        connections, "_local_client", lambda model, timeout: real(model, timeout) if model.kind == "baseline" else made
    )
    monkeypatch.setattr(service, "SLICE_SECONDS", 0.05)
    monkeypatch.setattr(service, "POLL_SECONDS", 0.0)
    return made


@pytest.fixture
def definition(tmp_path: Path, artifact_folder: Path, settings: Any) -> dict[str, Any]:
    settings.VAR_DIR = tmp_path
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "made-up.xml").write_text(small._addresses())
    (artifact_folder / "models" / "tiny-random" / "hf").mkdir(parents=True)
    (artifact_folder / "models" / "tiny-random" / "hf" / "weights").write_text("w")
    path = tmp_path / "definition.toml"
    path.write_text(small.DEFINITION)
    return read_definition(path)


@pytest.fixture
def demo(db: None) -> tuple[Team, User]:
    return demo_team_ensure()


def train(run: TrainingRun, folder: Path) -> None:
    """What the host does, without the engine: the folder that it reads, and a result."""
    claimed = jobs.claim(TrainingRun, run.pk)
    assert claimed is not None
    workdir.prepare(claimed)
    model_version_register(actor=None, run=claimed, result=result_folder(folder), finished=finished())


def walk(quickstart: ExperimentRun, folder: Path, spy: Spy) -> ExperimentRun:
    """Do what the workers would, one message after the other."""
    for turn in range(300):
        experiment_run_advance(quickstart.pk)
        spy.registered = Experiment.objects.filter(registered_at__isnull=False).exists()
        for evaluation in Evaluation.objects.filter(status=JobStatus.QUEUED):
            evaluation_tasks.evaluation_slice(evaluation.pk)
        for run in TrainingRun.objects.filter(status=JobStatus.QUEUED):
            train(run, folder / f"result-{turn}")
        quickstart.refresh_from_db()
        if quickstart.status in jobs.ENDED:
            return quickstart
    raise AssertionError("the quickstart did not end")


@pytest.mark.django_db(transaction=True)
@pytest.mark.both_databases
def test_the_whole_path_shows_no_test_row_to_training_demonstrations_or_any_choice(
    definition: dict[str, Any], demo: tuple[Team, User], spy: Spy, tmp_path: Path
) -> None:
    team, user = demo
    quickstart = experiment_run_start(actor=user, team=team, definition=definition)
    ended = walk(quickstart, tmp_path, spy)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, "")

    version = DatasetVersion.objects.get()
    hidden = [row for row in rows._all(version) if row.split == "test"]
    assert len(hidden) >= 8
    folder = workdir.run_dir(TrainingRun.objects.get())
    shown = {
        "train.jsonl": (folder / "train.jsonl").read_text(),
        "validation.jsonl": (folder / "validation.jsonl").read_text(),
        "spec.json": (folder / "spec.json").read_text(),
        "prompts": json.dumps([[item.messages, item.demonstrations] for item in PromptVersion.objects.all()]),
        "calls before registration": "\n".join(spy.before_registration),
        "baselines": "".join(
            get_bytes(model.artifact).decode() for model in LanguageModel.objects.filter(kind="baseline")
        ),
    }
    for place, text in shown.items():
        assert len(text) > 100, place
        assert not [row.input for row in hidden if row.input in text], place
    assert len(spy.before_registration) == 3 * 5  # draws × sample
    choices = Evaluation.objects.filter(purpose="choice")
    validation = {row.id for row in rows.validation_rows(version)}
    assert all(set(choice.example_ids) <= validation for choice in choices)

    finals = Evaluation.objects.filter(purpose="final")
    experiment = Experiment.objects.get()
    assert (choices.count(), finals.count(), TestLook.objects.count()) == (3, 6, 6)
    assert all(final.created_at > experiment.registered_at for final in finals)
    assert Output.objects.filter(evaluation__purpose="final").count() == 6 * len(hidden)
    assert len(spy.after_registration) == 3 * len(hidden)
    _assert_the_report_is_whole(experiment, len(hidden))
    assert ModelVersion.objects.count() == 1
    assert selectors.held_total() == 0
    assert selectors.ledger_balance_problems() == []
    assert [step.state for step in progress_of(ended)] == ["done"] * len(steps_of(ended))


def _assert_the_report_is_whole(experiment: Experiment, n: int) -> None:
    report = json.loads(get_bytes(experiment.report_artifact))
    assert set(report) >= REPORT_KEYS
    assert report["schema"] == "llmopt.report/1"
    assert report["experiment"]["reference"] == making.TUNED
    assert sorted(pair[0] for pair in report["experiment"]["family"]) == sorted(
        row["name"] for row in report["candidates"] if row["name"] != making.TUNED
    )
    assert [len(row["outputs"]) for row in report["candidates"]] == [n] * 6
    primary = [item for item in report["comparisons"] if item["metric"] == "field_f1"]
    assert len(primary) == 5
    assert all(item["p_adjusted"] is not None for item in primary)
    assert set(report["seconds"]) >= {"import", "choose", "train", "tuned", "total"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.both_databases
def test_started_again_it_goes_on_and_then_gives_the_same_report(
    definition: dict[str, Any], demo: tuple[Team, User], spy: Spy, tmp_path: Path
) -> None:
    team, user = demo
    quickstart = experiment_run_start(actor=user, team=team, definition=definition)
    for _ in range(4):
        experiment_run_advance(quickstart.pk)
    jobs.job_cancel(actor=user, row=quickstart)
    for evaluation in Evaluation.objects.filter(status=JobStatus.QUEUED):
        jobs.job_cancel(actor=user, row=evaluation)
    experiment_run_advance(quickstart.pk)
    assert ExperimentRun.objects.get().status == JobStatus.CANCELLED
    again = experiment_run_start(actor=user, team=team, definition=definition)
    assert again == quickstart
    first = walk(again, tmp_path, spy)
    assert first.status == JobStatus.SUCCEEDED, first.error
    calls = len(spy.before_registration) + len(spy.after_registration)
    report = Experiment.objects.get().report_artifact
    assert experiment_run_start(actor=user, team=team, definition=definition).status == JobStatus.SUCCEEDED
    assert Experiment.objects.get().report_artifact == report
    assert len(spy.before_registration) + len(spy.after_registration) == calls
    assert (Experiment.objects.count(), TrainingRun.objects.count(), Dataset.objects.count()) == (1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_step_that_fails_says_why_and_what_was_kept(
    definition: dict[str, Any], demo: tuple[Team, User], spy: Spy, artifact_folder: Path, tmp_path: Path
) -> None:
    (artifact_folder / "models" / "tiny-random" / "hf").rename(tmp_path / "elsewhere")
    team, user = demo
    ended = walk(experiment_run_start(actor=user, team=team, definition=definition), tmp_path, spy)
    assert ended.status == JobStatus.FAILED
    assert "The base model is missing" in ended.error
    assert ended.error_kept == "Every finished step is kept."
    states = {step.name: step.state for step in progress_of(ended)}
    assert (states["import"], states["define"], states["choose"]) == ("done", "failed", "waiting")
    assert not LanguageModel.objects.filter(kind="local").exists()


@pytest.mark.django_db(transaction=True)
def test_a_process_that_was_taken_over_does_not_write_its_old_notes(
    definition: dict[str, Any], demo: tuple[Team, User]
) -> None:
    team, user = demo
    experiment_run_start(actor=user, team=team, definition=definition)
    held = jobs.claim(ExperimentRun, ExperimentRun.objects.get().pk)
    assert held is not None
    ExperimentRun.objects.update(claim="another", facts={"steps": {"import": {"started": "x", "finished": "y"}}})
    service._mark(held, steps.STEPS[0], "started")
    assert ExperimentRun.objects.get().facts["steps"]["import"]["finished"] == "y"


@pytest.mark.django_db
def test_a_dataset_of_the_same_name_with_another_seed_is_not_used_in_silence(
    definition: dict[str, Any], demo: tuple[Team, User]
) -> None:
    team, user = demo
    quickstart = ExperimentRun(team=team, actor=user, definition=definition)
    making.dataset_version_of(quickstart)
    quickstart.definition = {**definition, "dataset": {**definition["dataset"], "split_seed": 2}}
    with pytest.raises(ApplicationError, match="exists with split seed 1"):
        making.dataset_version_of(quickstart)


def test_the_committed_definition_says_what_the_main_job_promises() -> None:
    definition = read_definition()
    few_shot, experiment = definition["prompts"]["few_shot"], definition["experiment"]
    assert few_shot["k"] == 8
    assert len(few_shot["draw_seeds"]) >= 3
    assert (experiment["primary_metric"], experiment["margin"], experiment["alpha"]) == ("field_f1", 0.05, 0.05)
    assert definition["generation"]["temperature"] == 0.0


def test_the_second_seed_is_another_quickstart_on_another_dataset() -> None:
    one, two = read_definition(), read_definition(second_seed=True)
    assert two["dataset"]["split_seed"] == one["dataset"]["second_split_seed"] != one["dataset"]["split_seed"]
    assert two["dataset"]["name"] != one["dataset"]["name"]
    assert definition_hash(one) != definition_hash(two)
    assert definition_hash(one) == definition_hash(read_definition(COMMITTED))


def test_a_definition_without_a_section_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text("[dataset]\nname = 'x'\n")
    with pytest.raises(ValueError, match="lacks the sections experiment, model"):
        read_definition(path)


# --- as a stranger starts it


def test_a_report_folder_that_does_not_exist_is_refused_before_anything_starts(tmp_path: Path) -> None:
    import subprocess
    import sys

    environment = kill_test.environment(tmp_path, REPORT=str(tmp_path / "nowhere" / "report.json"))
    result = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", str(free_port())],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode != 0
    assert "there is no folder" in result.stderr
    assert not (tmp_path / "llmopt.sqlite3").exists()
