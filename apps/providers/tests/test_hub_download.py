"""Downloading a model from a hub, from the press of the button to a model that answers, and all that goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.artifacts import local_folder
from apps.core.models import JobStatus
from apps.providers import host
from apps.providers.engine import catalogue
from apps.providers.engine.catalogue import KnownModel
from apps.providers.models import LanguageModel, ModelFetch
from apps.providers.services.fetches import model_download
from apps.providers.tests.fake_hub import REVISION, Hub, serving, sha256
from apps.providers.tests.inference_support import content, inference
from apps.providers.tests.test_fetches import brought_in, places
from apps.training.tests.tiny_models import build_model

__all__ = ["places"]

pytestmark = pytest.mark.django_db(transaction=True)

REPOSITORY = "llmopt-tests/gpt2-tiny"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a GPT-2 repository, weights of more than a megabyte, with what nobody takes beside them."""
    folder = build_model(tmp_path_factory.mktemp("repository") / "gpt2", "gpt2", width=128)
    for name in ("chat_template.jinja", "encoder.json", "vocab.bpe"):
        (folder / name).unlink()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04 never taken")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs", encoding="utf-8")
    return folder


@pytest.fixture
def hub(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(REPOSITORY, repository) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def known(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """The written list, with one more model."""
    weights = hub.files["model.safetensors"]
    model = KnownModel(
        key="gpt2-tiny",
        name="GPT-2 tiny",
        repository=REPOSITORY,
        revision=REVISION,
        parameters=len(weights) // 4,
        context_length=128,
        weights_bytes=len(weights),
        licence="MIT",
        weights_sha256=sha256(weights),
    )
    listed(monkeypatch, model)
    return model


@pytest.fixture
def bob_client(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def listed(monkeypatch: pytest.MonkeyPatch, model: KnownModel) -> None:
    monkeypatch.setattr(catalogue, "KNOWN_MODELS", (*catalogue.KNOWN_MODELS[:1], model))
    monkeypatch.setattr("apps.providers.entries.KNOWN_MODELS", catalogue.KNOWN_MODELS)


def asked_for(team: Team, user: User) -> ModelFetch:
    return model_download(actor=user, team=team, key="gpt2-tiny")


@pytest.fixture
def prepared_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a download is not asked about: the step that takes seconds is as if it were done."""
    step = host._step

    def quick(fetch: ModelFetch, folder: Path, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        if name != "prepare":
            return step(fetch, folder, name, spec)
        shutil.copytree(folder / "source", folder / "result" / "hf", ignore=shutil.ignore_patterns(".*"))
        info = {**spec["info"], "context_length": 128, "backend": "transformers"}
        (folder / "result" / "info.json").write_text(json.dumps(info), encoding="utf-8")
        return info

    monkeypatch.setattr(host, "_step", quick)


def test_from_the_press_of_the_button_to_a_model_that_answers(
    team: Team, bob: User, bob_client: Client, hub: Hub, known: KnownModel
) -> None:
    page = bob_client.get(reverse("models", args=[team.slug])).content.decode()
    assert f"Download {len(hub.files['model.safetensors']) / 1e6:.1f}\xa0MB" in page
    bob_client.post(reverse("model_download", args=[team.slug]), {"key": known.key})
    fetch = brought_in(ModelFetch.objects.get())
    model = fetch.language_model
    assert (fetch.error, fetch.status, model.state) == ("", "succeeded", "ready")
    assert (model.facts["checked_by"], model.facts["source"]["revision"]) == ("list", REVISION)
    stored = local_folder(model.artifact)
    assert (stored / "hf" / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert not [path for path in stored.rglob("*") if path.name.startswith(".") or path.name == "pytorch_model.bin"]
    page = bob_client.get(reverse("model", args=[team.slug, model.uid])).content.decode()
    assert "is the one that is written down here" in page
    with inference(stored.parent) as server:
        assert content(server.answer(model=model.served_name, max_tokens=8))


@pytest.mark.usefixtures("prepared_quickly")
def test_a_download_that_broke_off_is_kept_and_goes_on_where_it_ended(
    team: Team, bob: User, bob_client: Client, hub: Hub, known: KnownModel
) -> None:
    hub.breaks_after = 700_000
    fetch = brought_in(asked_for(team, bob))
    assert (fetch.status, fetch.error_code) == ("failed", "broken_off")
    assert "The download of model.safetensors broke off after 0.5 of" in fetch.error
    assert (fetch.error_kept, fetch.error_next) == (
        "What was downloaded before is kept.",
        "Press Retry: it goes on where it ended.",
    )
    page = bob_client.get(reverse("model", args=[team.slug, fetch.language_model.uid])).content.decode()
    whole = sum(len(data) for name, data in hub.files.items() if name not in ("pytorch_model.bin", ".gitattributes"))
    assert f"of {whole / 1e6:.1f}\xa0MB" in page

    hub.breaks_after, hub.sent = None, 0
    hub.ranges.clear()
    jobs.job_resume(actor=bob, row=fetch)
    fetch = brought_in(fetch)
    assert (fetch.error, fetch.status) == ("", "succeeded")
    assert hub.ranges == ["bytes=524288-"]
    assert hub.sent == len(hub.files["model.safetensors"]) - 524_288
    stored = local_folder(fetch.language_model.artifact)
    assert (stored / "hf" / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


@pytest.mark.usefixtures("prepared_quickly")
def test_a_place_that_knows_no_ranges_sends_all_again(team: Team, bob: User, hub: Hub, known: KnownModel) -> None:
    hub.breaks_after, hub.ignores_ranges = 700_000, True
    fetch = brought_in(asked_for(team, bob))
    hub.breaks_after = None
    jobs.job_resume(actor=bob, row=fetch)
    assert brought_in(fetch).status == "succeeded"


@pytest.mark.usefixtures("prepared_quickly")
def test_weights_that_arrive_damaged_are_deleted_and_refused(
    team: Team, bob: User, hub: Hub, known: KnownModel
) -> None:
    right = hub.files["model.safetensors"]
    hub.instead["model.safetensors"] = right[:-1] + bytes([right[-1] ^ 1])
    fetch = brought_in(asked_for(team, bob))
    assert fetch.error == "model.safetensors arrived damaged and was deleted. Press Retry."
    assert fetch.error_code == "not_a_model"
    hub.instead.clear()
    jobs.job_resume(actor=bob, row=fetch)
    assert brought_in(fetch).status == "succeeded"


def test_a_small_file_that_is_not_the_commits_is_refused(team: Team, bob: User, hub: Hub, known: KnownModel) -> None:
    hub.instead["config.json"] = hub.files["config.json"].replace(b"128", b"129")
    assert brought_in(asked_for(team, bob)).error.startswith("config.json arrived damaged")


def test_other_weights_under_the_known_name_are_refused_whatever_the_hub_says_of_them(
    team: Team, bob: User, hub: Hub, known: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, replace(known, weights_sha256="0" * 64))
    fetch = brought_in(asked_for(team, bob))
    assert "is not the model that LLMOpt knows by this name" in fetch.error
    assert fetch.language_model.state == "failed"


@pytest.mark.usefixtures("prepared_quickly")
def test_a_model_without_a_written_hash_is_checked_by_the_hubs_and_says_so(
    team: Team, bob: User, bob_client: Client, hub: Hub, known: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, replace(known, weights_sha256="", weights_bytes=999_999_999, size_is_exact=False))
    assert "Download about 1.0\xa0GB" in bob_client.get(reverse("models", args=[team.slug])).content.decode()
    model = brought_in(asked_for(team, bob)).language_model
    assert (model.state, model.facts["checked_by"]) == ("ready", "hub")
    page = bob_client.get(reverse("model", args=[team.slug, model.uid])).content.decode()
    assert "the one that the hub names for this commit; none is written down here" in page


def test_a_repository_with_pickles_alone_is_refused_before_anything_is_read(
    team: Team, bob: User, hub: Hub, known: KnownModel
) -> None:
    del hub.files["model.safetensors"]
    fetch = brought_in(asked_for(team, bob))
    assert "holds its weights only as pytorch_model.bin, which may run code when it is opened" in fetch.error
    assert (fetch.error_code, hub.ranges) == ("not_a_model", [])


def test_a_disk_that_is_too_small_is_said_before_anything_is_read(
    team: Team, bob: User, hub: Hub, known: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, replace(known, parameters=10**15))
    fetch = brought_in(asked_for(team, bob))
    assert fetch.error.startswith("The model needs 4000000.0 GB of disk, and ")
    assert (fetch.error_code, fetch.error_next, hub.ranges) == (
        "disk_full",
        "Make room on the disk of this machine, then press Retry.",
        [],
    )


def test_a_hub_in_trouble_and_a_commit_that_is_gone_are_told_apart_from_no_hub(
    team: Team, bob: User, hub: Hub, known: KnownModel
) -> None:
    hub.status = 503
    fetch = brought_in(asked_for(team, bob))
    assert (fetch.error_code, "status 503" in fetch.error) == ("hub_refused", True)
    hub.status = 200
    hub.repository = "llmopt-tests/moved"
    jobs.job_resume(actor=bob, row=fetch)
    fetch = brought_in(fetch)
    assert "The model hub gives nothing for llmopt-tests/gpt2-tiny at c0ffee00" in fetch.error


@pytest.mark.usefixtures("prepared_quickly")
def test_bytes_are_counted_while_they_come_and_cancel_keeps_them(
    team: Team, bob: User, bob_client: Client, hub: Hub, known: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.hold = threading.Event()
    fetch = asked_for(team, bob)
    pages: list[str] = []
    obey = host._obey

    def watched(row: ModelFetch) -> None:
        now = ModelFetch.objects.get(pk=row.pk)
        if now.done >= 500 and not pages:
            page = bob_client.get(reverse("jobs", args=[team.slug])).content.decode()
            pages.extend(re.findall(r"\d+\skB of 1\.\d\sMB", page))
            assert pages == [f"{now.done}\xa0kB of {now.total / 1000:.1f}\xa0MB"]
            jobs.job_cancel(actor=bob, row=now)
        obey(row)

    monkeypatch.setattr(host, "_obey", watched)
    brought_in(fetch)
    hub.hold.set()
    fetch.refresh_from_db()
    assert pages
    assert fetch.status == JobStatus.CANCELLED
    assert LanguageModel.objects.get(pk=fetch.language_model_id).error == "Adding it was cancelled."
    jobs.job_resume(actor=bob, row=fetch)
    hub.hold = None
    hub.ranges.clear()
    assert brought_in(fetch).status == "succeeded"
    assert hub.ranges == ["bytes=524288-"]
