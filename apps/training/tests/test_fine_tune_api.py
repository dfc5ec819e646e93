"""Fine-tuning by REST and by command line: the same services, the same refusals."""

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.management import following
from apps.core.models import JobStatus
from apps.core.tests.factories import DatasetVersionFactory, LanguageModelFactory, PromptVersionFactory
from apps.experiments.models import DatasetVersion
from apps.providers.models import LanguageModel
from apps.training import workdir
from apps.training.models import Checkpoint, Preflight, TrainingRun
from apps.training.tests.plans import pairs, prompt_for, tiny_base, version_with

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def var_dir(settings: Any, artifact_folder: Any) -> None:
    settings.VAR_DIR = artifact_folder.parent


@pytest.fixture
def base(team: Team) -> LanguageModel:
    return tiny_base(team)


@pytest.fixture
def body(team: Team, bob: User, base: LanguageModel) -> dict[str, Any]:
    return {
        "name": "By REST",
        "dataset_version": str(version_with(team, bob, pairs(60)).uid),
        "base_model": str(base.uid),
        "prompt_version": str(prompt_for(team, bob).uid),
        "preset": "quick",
        "max_examples": 16,
    }


def post(client: Client, body: dict[str, Any]) -> Any:
    return client.post(reverse("api_fine_tune"), json.dumps(body), content_type="application/json")


def test_a_run_is_started_and_followed(client: Client, bob: User, body: dict[str, Any]) -> None:
    client.force_login(bob)

    answer = post(client, body)

    assert answer.status_code == 201
    run = TrainingRun.objects.get()
    assert (run.status, run.limits, run.spec["lora"]["r"]) == (JobStatus.QUEUED, {"max_examples": 16}, 8)
    seen = client.get(answer["Location"]).json()
    assert (seen["uid"], seen["status"], seen["queue_position"]) == (str(run.uid), "queued", 0)
    Checkpoint.objects.create(run=run, step=3, digest="a" * 64, size_bytes=10)
    kept = client.get(f"{answer['Location']}/checkpoints").json()["results"]
    assert [(item["step"], item["size_bytes"]) for item in kept] == [(3, 10)]


def test_events_are_read_on_from_where_one_was(client: Client, bob: User, body: dict[str, Any]) -> None:
    client.force_login(bob)
    location = post(client, body)["Location"]
    assert client.get(f"{location}/events").json() == {"events": [], "next": 0}
    folder = workdir.run_dir(TrainingRun.objects.get())
    folder.mkdir(parents=True)
    lines = [json.dumps({"seq": n, "type": "progress", "pid": 7, "result": "/srv/secret"}) + "\n" for n in range(600)]
    (folder / "events.jsonl").write_text("".join(lines))

    first = client.get(f"{location}/events").json()
    second = client.get(f"{location}/events?after={first['next']}").json()

    assert [event["seq"] for event in first["events"] + second["events"]] == list(range(600))
    assert len(first["events"]) == 500
    assert first["events"][0] == {"seq": 0, "type": "progress"}


def test_a_run_is_paused_resumed_and_cancelled_and_says_when_it_cannot_be(
    client: Client, bob: User, body: dict[str, Any]
) -> None:
    client.force_login(bob)
    location = post(client, body)["Location"]

    found = [
        client.post(f"{location}/{action}", content_type="application/json")
        for action in ("pause", "pause", "resume", "cancel", "cancel")
    ]

    assert [answer.status_code for answer in found] == [200, 409, 200, 200, 409]
    assert [answer.json()["status"] for answer in found if answer.status_code == 200] == [
        "paused", "queued", "cancelled",
    ]  # fmt: skip
    assert found[1].json()["code"] == "conflict"


@pytest.mark.parametrize("name", ["dataset_version", "base_model", "prompt_version"])
def test_what_is_another_teams_is_not_found(
    client: Client, bob: User, other_team: Team, body: dict[str, Any], name: str
) -> None:
    theirs = {
        "dataset_version": DatasetVersionFactory.create(dataset__team=other_team),
        "base_model": LanguageModelFactory.create(team=other_team),
        "prompt_version": PromptVersionFactory.create(prompt__team=other_team),
    }
    client.force_login(bob)

    assert post(client, {**body, name: str(theirs[name].uid)}).status_code == 404
    assert not TrainingRun.objects.exists()


def test_a_viewer_starts_nothing(client: Client, vera: User, body: dict[str, Any]) -> None:
    client.force_login(vera)

    assert post(client, body).status_code == 403
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"preset": "fast"}, "invalid"),
        ({"base_model": "x"}, "invalid"),
        ({"max_examples": 0}, "invalid"),
        ({"spec": {"epochs": 0}}, "training_spec"),
        ({"spec": {"max_length": 8}}, "training_refused"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_nothing_behind(
    client: Client, bob: User, body: dict[str, Any], change: dict[str, Any], code: str
) -> None:
    client.force_login(bob)
    before = LanguageModel.objects.count()

    answer = post(client, {**body, **change})

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert (TrainingRun.objects.count(), LanguageModel.objects.count()) == (0, before)


# --- the command line


MEASURED = {
    "examples": 16, "total_steps": 2, "trained_tokens": 900, "tokens": 2400, "memory_mib": 700, "seconds_low": 60.0,
    "seconds_high": 80.0, "refusals": [],
}  # fmt: skip


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the command waits, whatever is queued ends."""

    def work(_seconds: float) -> None:
        for preflight in Preflight.objects.filter(status=JobStatus.QUEUED):
            jobs.finish(jobs.claim(Preflight, preflight.pk), result=MEASURED)
        for run in TrainingRun.objects.filter(status=JobStatus.QUEUED):
            jobs.finish(jobs.claim(TrainingRun, run.pk), result={"step": 2, "phase_seconds": {"train": 70.0}})

    monkeypatch.setattr(following.time, "sleep", work)
    monkeypatch.setattr(following, "close_old_connections", lambda: None)


def options(where: Team, body: dict[str, Any], /, **changes: Any) -> list[str]:
    version = DatasetVersion.objects.get(uid=body["dataset_version"])
    given = {
        "team": where.slug,
        "dataset": version.dataset.name,
        "base": "Tiny",
        "prompt": "Split:1",
        "preset": "quick",
    }
    return [part for name, value in {**given, **changes}.items() for part in (f"--{name}", value)]


def test_the_command_checks_starts_and_follows(
    team: Team, alice: User, body: dict[str, Any], worker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("train", *options(team, body, version="1", name="By hand"), "--max-examples", "16", "--wait")

    run = TrainingRun.objects.get()
    said = capsys.readouterr().out
    assert (run.name, run.created_by, run.limits) == ("By hand", alice, {"max_examples": 16})
    assert "16 examples, 900 trained tokens, 700 MiB, 60–80 s." in said
    assert "The check before the start predicted 1 min 10 s, it took 1 min 10 s: as predicted." in said


@pytest.mark.parametrize("name", ["team", "dataset", "base", "prompt"])
def test_the_command_names_what_is_not_there(team: Team, alice: User, body: dict[str, Any], name: str) -> None:
    with pytest.raises(CommandError, match="Nowhere"):
        call_command("train", *options(team, body, **{name: "Nowhere"}))


def test_the_command_says_why_a_run_is_refused(
    team: Team, alice: User, body: dict[str, Any], worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = {"template": "No token would be trained.", "params": {}}
    refusal = {"code": "no_trained_token", "says": says, "fits": None, "rows": []}
    monkeypatch.setitem(MEASURED, "refusals", [refusal])

    with pytest.raises(CommandError, match=r"No token would be trained\."):
        call_command("train", *options(team, body))
    assert not TrainingRun.objects.exists()
