"""A whole experiment by commands: what it would take, its run and its report; and what a wrong word is answered."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.management import following
from apps.core.tests import factories
from apps.evaluation.tests.worlds import answer_all, finish, half, perfect, registered
from apps.experiments.models import DatasetVersion, Experiment
from apps.training.tests.plans import pairs, version_with
from apps.workspace.models import ExperimentRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(team: Team, alice: User, artifact_folder: Path) -> DatasetVersion:
    factories.LanguageModelFactory.create(team=team, name="Tiny", artifact="models/tiny")
    return version_with(team, alice, pairs(60), name="Places")


@pytest.fixture
def finished(team: Team, alice: User, artifact_folder: Path) -> Experiment:
    experiment = registered(team, alice, ["Lookup", "Tuned"], reference="Tuned")
    for name, answer in (("Lookup", half), ("Tuned", perfect)):
        answer_all(experiment, alice, name, answer)
    finish(experiment, alice)
    return experiment


def run(team: Team, *more: str, dataset: str = "Places") -> None:
    call_command("experiment_run", "--team", team.slug, "--dataset", dataset, *more)


def works(monkeypatch: pytest.MonkeyPatch, end: Any) -> None:
    """While the command waits, what is queued ends."""

    def work(_seconds: float) -> None:
        end(jobs.claim(ExperimentRun, ExperimentRun.objects.get().pk))

    monkeypatch.setattr(following.time, "sleep", work)
    monkeypatch.setattr(following, "close_old_connections", lambda: None)


def test_an_estimate_starts_nothing_and_says_what_nobody_knows(
    team: Team, version: DatasetVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    run(team, "--estimate")

    said = capsys.readouterr().out
    assert f"{version.train_count} training rows, {version.test_count} test rows." in said
    assert "Never measured here, so nobody knows how long it takes: Tiny, training of Tiny." in said
    assert not ExperimentRun.objects.exists()


def test_it_runs_what_was_told_and_prints_the_conclusion(
    team: Team,
    version: DatasetVersion,
    finished: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    works(monkeypatch, lambda row: jobs.finish(row, experiment=finished))
    (tmp_path / "words.txt").write_text("Split it.")

    told = ("--name", "By hand", "--no-tune", "--no-few-shot", "--instruction", str(tmp_path / "words.txt"))
    run(team, *told, "--base", "Tiny", "--budget", "0.5", "--wait")

    definition = ExperimentRun.objects.get().definition
    assert (definition["prompts"].keys(), definition["prompts"]["plain"]["system"]) == ({"plain"}, "Split it.")
    assert definition["experiment"]["budget_nanousd"] == 500_000_000
    said = capsys.readouterr().out
    assert finished.conclusion_text in said
    assert f"experiment_report {finished.uid}" in said


def test_a_failed_run_is_told_with_what_to_do(
    team: Team, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    works(monkeypatch, lambda row: jobs.fail(row, error="The disk is full.", kept="", next_step="Free some space."))

    with pytest.raises(CommandError, match=r"The disk is full\. Free some space\."):
        run(team, "--wait")


def test_leaving_leaves_the_job_at_work(team: Team, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_row: Any) -> None:
        raise KeyboardInterrupt

    works(monkeypatch, leave)

    with pytest.raises(CommandError, match="the job goes on") as stopped:
        run(team, "--wait")
    assert stopped.value.returncode == following.INTERRUPTED


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--base", "Huge"), "There is no ready model Huge here."),
        (("--margin", "0"), "above zero"),
        (("--instruction", "/nowhere"), "cannot be read"),
    ],
)
def test_what_cannot_be_run_is_said(team: Team, version: DatasetVersion, more: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(team, *more)
    assert said in str(refused.value)


def test_a_dataset_that_is_not_there_is_named(team: Team, alice: User) -> None:
    with pytest.raises(CommandError, match="Nowhere"):
        run(team, dataset="Nowhere")


def test_the_report_is_printed_or_written(
    team: Team, finished: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("experiment_list", "--team", team.slug)
    assert str(finished.uid) in capsys.readouterr().out
    call_command("experiment_report", str(finished.uid))
    assert capsys.readouterr().out.startswith("# ")
    file = tmp_path / "report.json"
    call_command("experiment_report", str(finished.uid), "--format", "json", "--output", str(file))
    assert json.loads(file.read_text())["schema"] == "llmopt.report/1"
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("experiment_report", str(finished.uid), "--output", str(tmp_path / "none" / "report.md"))


def test_a_report_that_is_not_written_yet_says_so(team: Team, alice: User) -> None:
    draft = factories.ExperimentFactory.create(team=team, created_by=alice)

    with pytest.raises(CommandError, match="written when every evaluation has ended"):
        call_command("experiment_report", str(draft.uid))
