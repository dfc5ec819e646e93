"""Bringing models in as a job: from a folder, from a file that was sent, from the hub; and who may."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.artifacts import folder_digest, local_folder
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests import warm
from apps.core.tests.factories import LanguageModelFactory
from apps.providers import host
from apps.providers.models import LanguageModel, ModelFetch
from apps.providers.selectors import upload_path
from apps.providers.services.fetches import (
    model_download,
    model_folder_add,
    model_on_disk_add,
    model_upload_add,
)
from apps.providers.tests.test_importing import build_adapter, files_of, gpt2, llama, zipped

__all__ = ["gpt2", "llama"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def places(settings: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings.VAR_DIR = tmp_path / "var"
    settings.MODEL_FOLDERS = [str(tmp_path_factory.getbasetemp())]
    settings.TRAINING_THREADS = 1


@pytest.fixture(autouse=True)
def warm_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "subprocess", warm)


def brought_in(fetch: ModelFetch) -> ModelFetch:
    """What the queue's task and the detached process do, in this process."""
    claimed = jobs.claim(ModelFetch, fetch.pk)
    assert claimed is not None
    host.host_run(claimed.pk, claim=claimed.claim)
    claimed.refresh_from_db()
    claimed.language_model.refresh_from_db()
    return claimed


def sent(tmp_path: Path, files: dict[str, bytes], name: str = "my-model.zip") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, zipped(tmp_path / "sent.zip", files).read_bytes())


def test_a_folder_on_this_machine_becomes_a_ready_model(team: Team, adam: User, gpt2: Path) -> None:
    fetch = brought_in(model_folder_add(actor=adam, team=team, folder=str(gpt2), name="Our GPT-2"))
    model = fetch.language_model
    assert (fetch.status, model.state, model.name, model.context_length) == ("succeeded", "ready", "Our GPT-2", 128)
    assert (model.facts["backend"], model.facts["proof"]["equal"]) == ("ctranslate2", True)
    stored = local_folder(model.artifact)
    assert stored.name == model.served_name
    assert model.revision == folder_digest(stored)[:16]
    assert {path.name for path in stored.iterdir()} == {"hf", "ct2", "info.json"}
    verbs = set(AuditEvent.objects.filter(object_uid=fetch.uid).values_list("verb", flat=True))
    assert verbs == {"model_fetch.started", "model_fetch.finished"}


@pytest.mark.slow
def test_an_uploaded_adapter_is_merged_into_the_ready_base_that_it_names(
    team: Team, adam: User, bob: User, llama: Path, tmp_path: Path
) -> None:
    base = brought_in(model_folder_add(actor=adam, team=team, folder=str(llama), name="tiny-llama")).language_model
    adapter = build_adapter(llama, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "us/tiny-llama"}))
    fetch = brought_in(model_upload_add(actor=bob, team=team, file=sent(tmp_path, files_of(adapter))))
    model = fetch.language_model
    assert (fetch.error, fetch.status, model.state, model.name) == ("", "succeeded", "ready", "my-model")
    assert (model.facts["base_revision"], model.facts["kind"]) == (base.revision, "adapter")
    assert (local_folder(model.artifact) / "merged" / "model.safetensors").is_file()
    assert not upload_path(fetch.location).exists()


def test_an_adapter_without_its_base_says_which_one_is_missing(
    team: Team, bob: User, llama: Path, tmp_path: Path
) -> None:
    adapter = build_adapter(llama, tmp_path / "adapter")
    fetch = brought_in(model_upload_add(actor=bob, team=team, file=sent(tmp_path, files_of(adapter))))
    assert (fetch.status, fetch.error_code) == ("failed", "no_base")
    assert "not among this team's ready models" in fetch.error
    assert fetch.language_model.state == "failed"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"m/pytorch_model.bin": b"\x80\x04"}, "pickled objects"),
        ({"m/config.json": b'{"auto_map": {"AutoModel": "x--y.Z"}}', "m/model.safetensors": b""}, "program code"),
        ({"../config.json": b"{}"}, "leads out of it"),
        ({"m/model.safetensors": bytes(40_000_000)}, "zip bomb"),
    ],
)
def test_a_hostile_upload_is_refused_with_a_sentence_and_an_event_and_leaves_nothing(
    team: Team, bob: User, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    fetch = brought_in(model_upload_add(actor=bob, team=team, file=sent(tmp_path, files)))
    assert (fetch.status, fetch.error_code) == ("failed", "hostile")
    assert said in fetch.error
    event = AuditEvent.objects.get(verb="model_fetch.refused")
    assert (event.facts["code"], event.object_uid) == ("hostile", fetch.uid)
    assert not upload_path(fetch.location).exists()
    assert not list((tmp_path / "var" / "imports").iterdir())


def test_an_upload_must_be_an_archive_and_not_too_large(team: Team, bob: User, settings: Any) -> None:
    with pytest.raises(ApplicationError, match="as one .zip"):
        model_upload_add(actor=bob, team=team, file=SimpleUploadedFile("model.safetensors", b"x"))
    settings.MODEL_UPLOAD_MAX_BYTES = 10
    with pytest.raises(ApplicationError, match="at most 0 MB"):
        model_upload_add(actor=bob, team=team, file=SimpleUploadedFile("m.zip", b"x" * 11))


def test_a_folder_must_really_lie_below_what_the_operator_allows(
    team: Team, adam: User, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "secret")
    settings.MODEL_FOLDERS = [str(tmp_path / "allowed")]
    for folder in ("/etc", str(tmp_path / "allowed" / "link"), str(tmp_path / "allowed" / ".." / "secret"), "allowed"):
        with pytest.raises(ApplicationError, match="Name a folder below"):
            model_folder_add(actor=adam, team=team, folder=folder)
    settings.MODEL_FOLDERS = []
    with pytest.raises(ApplicationError, match="LLMOPT_MODEL_FOLDERS"):
        model_folder_add(actor=adam, team=team, folder=str(tmp_path / "allowed"))


def test_only_admins_name_folders_and_viewers_add_nothing(team: Team, bob: User, vera: User, tmp_path: Path) -> None:
    refused: list[Callable[[], Any]] = [
        lambda: model_folder_add(actor=bob, team=team, folder=str(tmp_path)),
        lambda: model_download(actor=vera, team=team, key="gpt2"),
        lambda: model_upload_add(actor=vera, team=team, file=SimpleUploadedFile("m.zip", b"x")),
    ]
    for work in refused:
        with pytest.raises(NotAllowed):
            work()
    assert not ModelFetch.objects.exists()


def test_without_a_hub_the_download_fails_with_the_sentence_and_can_be_asked_for_again(
    team: Team, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    fetch = brought_in(model_download(actor=bob, team=team, key="gpt2"))
    assert (fetch.status, fetch.error_code) == ("failed", "hub_unreachable")
    assert "could not be reached" in fetch.error
    assert fetch.language_model.state == "failed"
    again = model_download(actor=bob, team=team, key="gpt2")
    assert (again.pk, again.status) == (fetch.pk, JobStatus.QUEUED)


def test_a_download_that_lies_here_already_is_ready_at_once(
    team: Team, bob: User, other_team: Team, charlie: User
) -> None:
    """Another team has fetched the same commit: its folder is the same model."""
    fetch = model_download(actor=bob, team=team, key="gpt2")
    folder = local_folder(f"models/{fetch.language_model.served_name}")
    (folder / "hf").mkdir(parents=True)
    (folder / "info.json").write_text('{"context_length": 1024, "backend": "ctranslate2"}')
    assert brought_in(fetch).language_model.state == "ready"
    with pytest.raises(Conflict, match="ready already"):
        model_download(actor=bob, team=team, key="gpt2")
    assert brought_in(model_download(actor=charlie, team=other_team, key="gpt2")).language_model.state == "ready"


def test_the_demo_model_on_disk_is_added_without_a_job(team: Team, bob: User) -> None:
    with pytest.raises(Conflict, match="not on this machine"):
        model_on_disk_add(actor=bob, team=team, key="smollm2-135m-instruct")
    (local_folder("models/smollm2-135m-instruct-q4") / "hf").mkdir(parents=True)
    model = model_on_disk_add(actor=bob, team=team, key="smollm2-135m-instruct")
    assert (model.state, model.served_name) == ("ready", "smollm2-135m-instruct-q4")
    assert not ModelFetch.objects.exists()


def test_a_cancelled_import_stops_its_process_and_says_so_on_the_model(
    team: Team, adam: User, gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = model_folder_add(actor=adam, team=team, folder=str(gpt2))
    claimed = jobs.claim(ModelFetch, fetch.pk)
    jobs.job_cancel(actor=adam, row=claimed)
    assert host.host_run(claimed.pk, claim=claimed.claim) == 3
    fetch.refresh_from_db()
    assert (fetch.status, fetch.language_model.state) == ("cancelled", "failed")
    assert "cancelled" in LanguageModel.objects.get(pk=fetch.language_model_id).error


def test_an_import_whose_process_died_is_taken_up_again(team: Team, adam: User, gpt2: Path) -> None:
    fetch = model_folder_add(actor=adam, team=team, folder=str(gpt2))
    dead = jobs.claim(ModelFetch, fetch.pk)
    ModelFetch.objects.filter(pk=fetch.pk).update(heartbeat_at=timezone.now() - datetime.timedelta(minutes=5))
    assert jobs.reap() == 1
    assert host.host_run(dead.pk, claim=dead.claim) == 3
    assert brought_in(fetch).status == "succeeded"


def test_the_base_that_is_chosen_must_be_ready_and_the_teams_own(team: Team, bob: User, other_team: Team) -> None:
    for base in (
        LanguageModelFactory.create(team=other_team),
        LanguageModelFactory.create(team=team, state="failed"),
    ):
        with pytest.raises(ApplicationError, match="ready model of this team"):
            model_upload_add(actor=bob, team=team, file=SimpleUploadedFile("m.zip", b"x"), base_model=base)
