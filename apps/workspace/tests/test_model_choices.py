"""A model that is not there may be chosen only together with what brings it: as a candidate, and in a plan."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.models import JobStatus
from apps.core.tests.factories import LanguageModelFactory
from apps.experiments.models import Candidate, DatasetVersion, Experiment
from apps.experiments.tests.world import version_of
from apps.providers.models import LanguageModel, ModelFetch
from apps.providers.services.fetches import model_fetch_refused
from apps.providers.services.language_models import language_model_ready
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.sequence import steps_of
from apps.workspace.tasks import experiment_run_advance
from apps.workspace.tests.test_drafts import at, baselines_added, made, name_reference, worked
from apps.workspace.tests.test_plans import filled, plan_page
from apps.workspace.tests.test_quickstart import Spy, demo, spy

__all__ = ["demo", "spy"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_folder")]


@pytest.fixture
def version(demo: tuple[Team, User]) -> DatasetVersion:
    return version_of(*demo, count=60)


@pytest.fixture
def alice(client: Client, demo: tuple[Team, User]) -> Client:
    client.force_login(demo[1])
    return client


@pytest.fixture
def draft(alice: Client, version: DatasetVersion) -> Experiment:
    alice.post(
        reverse("prompt_new", args=[version.dataset.team.slug]),
        {"name": "Split", "role": "user", "content": "{{ input }}"},
    )
    return made(alice, version)


def prompt_of(team: Team) -> str:
    from apps.core.tests.factories import PromptVersionFactory

    return str(PromptVersionFactory.create(prompt__team=team).uid)


def chosen(alice: Client, draft: Experiment, model: str, **more: Any) -> Any:
    values = {"models": [model], "prompts": [prompt_of(draft.team)], "max_tokens": "20", "temperature": "0", **more}
    return alice.post(at("candidates_new", draft), values)


def ended(fetch: ModelFetch, *, code: str, error: str) -> None:
    """The import, as its host ends it when it says no."""
    claimed = jobs.claim(ModelFetch, fetch.pk)
    assert claimed is not None
    model_fetch_refused(actor=None, fetch=claimed, code=code, error=error)


def come_in(fetch: ModelFetch) -> None:
    """The import, as its host ends it when the model is there."""
    claimed = jobs.claim(ModelFetch, fetch.pk)
    assert claimed is not None
    jobs.finish(claimed, phase="")
    language_model_ready(
        actor=None, model=fetch.language_model, revision="r", artifact="models/x", context_length=1024, facts={}
    )


def test_the_form_lists_every_model_with_its_state_and_where_it_runs(
    alice: Client, draft: Experiment, demo: tuple[Team, User]
) -> None:
    LanguageModelFactory.create(team=demo[0], name="Ours", kind="local", state="ready")
    LanguageModelFactory.create(team=demo[0], name="Broken", kind="trained", state="failed", error="Out of disk.")
    answer = alice.get(at("candidates_new", draft))
    labels = [label for _value, label in answer.context["form"].fields["models"].choices]
    assert labels[0].startswith("Ours · Runs here")
    assert any(label.startswith("GPT-2 small · Download 548\xa0MB first · Runs here · 498\xa0MB") for label in labels)
    assert any("GPT-2 XL · Download about 6.4\xa0GB first" in label for label in labels)
    assert not any("Broken" in label for label in labels)
    page = answer.content.decode()
    assert "Out of disk." in page
    assert len(re.findall('name="unavailable-[0-9]+"[^>]* disabled', page)) == 1


def test_a_model_of_the_list_is_queued_with_the_candidate_or_not_at_all(alice: Client, draft: Experiment) -> None:
    refused = chosen(alice, draft, "list:gpt2", prompts=[])
    assert (refused.status_code, ModelFetch.objects.count()) == (422, 0)
    assert chosen(alice, draft, "list:gpt2").status_code == 302
    fetch = ModelFetch.objects.get()
    assert (fetch.status, fetch.language_model.name) == (JobStatus.QUEUED, "GPT-2 small")
    assert Candidate.objects.get(experiment=draft).language_model == fetch.language_model
    assert "its model is brought in first" in alice.get(at("experiment_candidates", draft)).content.decode()
    chosen(alice, draft, str(fetch.language_model.uid), max_tokens="30")
    assert ModelFetch.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_final_test_waits_for_the_model_fails_with_its_sentence_and_retries_with_it(
    alice: Client, draft: Experiment, demo: tuple[Team, User], spy: Spy
) -> None:
    chosen(alice, draft, "list:gpt2")
    baselines_added(alice, draft, "most_frequent")
    name_reference(alice, draft, "Most frequent answer")
    alice.post(at("experiment_final_test", draft))
    run, fetch = ExperimentRun.objects.get(), ModelFetch.objects.get()
    names = [step.name for step in steps_of(run)]
    assert names.index("model: GPT-2 small") < names.index(next(name for name in names if "GPT-2 small with" in name))

    ended(fetch, code="hub_unreachable", error="The model hub could not be reached from this machine.")
    assert (worked(run).status, run.phase) == (JobStatus.FAILED, "model: GPT-2 small")
    assert run.error == "The model hub could not be reached from this machine."
    jobs.job_resume(actor=demo[1], row=run)
    fetch.refresh_from_db()
    assert fetch.status == JobStatus.QUEUED


@pytest.mark.django_db(transaction=True)
def test_a_plan_with_a_model_that_is_not_here_brings_it_first(
    alice: Client, version: DatasetVersion, demo: tuple[Team, User], spy: Spy
) -> None:
    page = alice.get(plan_page(version))
    assert page.context["form"].initial["base_model"] == ""
    asked = {"plain": "1", "few_shot": "1", "instruction": "Split it."}
    answer = alice.post(plan_page(version), filled(alice, version, base_model="list:gpt2", **asked))
    assert answer.status_code == 302, answer.content.decode()
    run, fetch = ExperimentRun.objects.get(), ModelFetch.objects.get()
    for _turn in range(10):
        experiment_run_advance(run.pk)
    run.refresh_from_db()
    assert (run.status, run.phase) == (JobStatus.QUEUED, "model")
    strip = alice.get(reverse("quickstart_progress", args=[demo[0].slug, run.experiment.uid])).content.decode()
    assert "Bring the model in" in strip

    ended(fetch, code="broken_off", error="The download of model.safetensors broke off.")
    for _turn in range(3):
        experiment_run_advance(run.pk)
    run.refresh_from_db()
    assert (run.status, run.error) == (JobStatus.FAILED, "The download of model.safetensors broke off.")
    jobs.job_resume(actor=demo[1], row=run)
    come_in(ModelFetch.objects.get())
    for _turn in range(3):
        experiment_run_advance(run.pk)
    run.refresh_from_db()
    assert (run.status, run.phase) == (JobStatus.QUEUED, "choose")


def test_a_model_that_the_hub_does_not_give_leads_to_a_folder_and_back_with_what_was_chosen(
    alice: Client, draft: Experiment, demo: tuple[Team, User]
) -> None:
    chosen(alice, draft, "list:gpt2")
    ended(ModelFetch.objects.get(), code="hub_unreachable", error="The model hub could not be reached.")
    model = LanguageModel.objects.get(name="GPT-2 small")
    page = alice.get(at("candidates_new", draft))
    assert str(model.uid) not in dict(page.context["form"].fields["models"].choices)
    assert "Hub not reachable: give a folder" in page.content.decode()
    assert alice.post(at("candidates_new", draft), {"models": [str(model.uid)]}).status_code == 422

    away = alice.post(
        at("candidates_new", draft), {"away": str(model.uid), "baselines": ["most_frequent"], "max_tokens": "33"}
    )
    assert urlsplit(away.url).path == reverse("model_add", args=[demo[0].slug])
    back = parse_qs(urlsplit(away.url).query)["next"][0]
    form = alice.get(back).context["form"]
    assert (form["max_tokens"].value(), form["baselines"].value()) == ("33", ["most_frequent"])
    sent = alice.post(away.url, {"way": "upload", "file": SimpleUploadedFile("m.zip", b"x")})
    assert sent.url == back
    elsewhere = f"{reverse('model_add', args=[demo[0].slug])}?next=https://example.com/"
    sent = alice.post(elsewhere, {"way": "upload", "file": SimpleUploadedFile("m.zip", b"x")})
    assert sent.url.startswith(reverse("models", args=[demo[0].slug]))


def test_another_teams_model_is_not_found(alice: Client, draft: Experiment, other_team: Team) -> None:
    theirs = LanguageModelFactory.create(team=other_team, state="ready")
    assert chosen(alice, draft, str(theirs.uid)).status_code == 422
    assert not Candidate.objects.filter(experiment=draft).exists()
