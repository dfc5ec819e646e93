"""Ids of another team, in addresses and in what is sent: none is found, and nothing changes anywhere."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests import factories
from apps.core.tests.routes import World, make_world, status_of
from apps.core.tests.test_permissions import ROWS
from apps.experiments.models import Dataset, DatasetVersion, Experiment, Prompt, PromptVersion, Upload
from apps.providers.models import LanguageModel

pytestmark = pytest.mark.django_db

# What the API and a page make of an id that is not this team's: it is not found, or none of the choices.
NOT_MINE = {400, 404, 422}
INSPECTION = {
    "shape": "table", "columns": ["text", "label"], "rows": 60, "usable": 60,
    "suggested": {"input": "text", "expected": "label", "answer": {"format": "text"}},
}  # fmt: skip
DEFINITION = {"name": "Mine", "question": "Which?", "primary_metric": "field_f1", "margin": "0.05", "alpha": "0.05"}
PLAN = {
    **DEFINITION, "metrics": ["token_f1"], "primary_metric": "token_f1", "baselines": ["most_frequent"], "plain": "on",
    "instruction": "Answer.", "shown": "1", "preset": "quick", "max_tokens": "20",
}  # fmt: skip
MESSAGES = [{"role": "user", "content": "{{ input }}"}]


@dataclass
class Things:
    """One object of each kind that bodies name, all of one team."""

    dataset: Dataset
    version: DatasetVersion
    prompt: Prompt
    prompt_version: PromptVersion
    model: LanguageModel
    experiment: Experiment
    candidate: Any
    upload: Upload


def things_of(world: World, owner: User) -> Things:
    version = DatasetVersion.objects.get(dataset__team=world.team, dataset__uid=world.uids["api/v1/datasets/"])
    prompt = Prompt.objects.get(uid=world.uids["api/v1/prompts/"])
    model = factories.LanguageModelFactory.create(team=world.team, artifact="models/base")
    draft = factories.ExperimentFactory.create(team=world.team, dataset_version=version, created_by=owner)
    candidate = factories.CandidateFactory.create(experiment=draft)
    upload = factories.UploadFactory.create(
        team=world.team, created_by=owner, status=JobStatus.SUCCEEDED, inspection=INSPECTION
    )
    newest = prompt.versions.latest("number")
    return Things(version.dataset, version, prompt, newest, model, draft, candidate, upload)


@pytest.fixture
def worlds(
    team: Team, other_team: Team, alice: User, bob: User, charlie: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[World, World]:
    settings.EMBEDDED = True
    monkeypatch.setattr("apps.core.readiness.remembered", lambda _run: [])
    return make_world(team, alice, bob), make_world(other_team, charlie, charlie)


def test_another_teams_object_is_not_found_at_an_address_of_ones_own_team(
    worlds: tuple[World, World], alice: User
) -> None:
    mine, theirs = worlds
    mixed = dataclasses.replace(theirs, team=mine.team)
    named = [row for row in ROWS if row["route"].startswith(("t/<slug:team>/", "api/")) and "<uuid:" in row["route"]]
    found = {}
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    before = AuditEvent.objects.count()

    for row in named:
        path = mixed.address(row["route"])
        found[f"{row['method']} {row['route']}"] = status_of(client, row["method"], path, {})

    assert {what: status for what, status in found.items() if status != 404} == {}
    assert len(found) >= 90
    assert AuditEvent.objects.count() == before


@dataclass(frozen=True)
class Case:
    """A body that is right with one's own ids, and where in it another team's id is put."""

    where: str
    method: str
    body: Any
    field: str
    theirs: Any
    many: bool = False


def cases(mine: Things, theirs: Things) -> list[Case]:
    slug = mine.dataset.team.slug
    experiment = [slug, mine.experiment.uid]
    plan = reverse("plan", args=[slug, mine.dataset.uid, mine.version.number])
    api_plan = reverse("api_plan", args=[mine.dataset.uid, mine.version.number])
    training = {
        "dataset_version": mine.version.uid, "base_model": mine.model.uid, "prompt_version": mine.prompt_version.uid,
        "method": "lora", "preset": "quick",
    }  # fmt: skip
    mapped = {"input": "text", "expected": "label", "format": "text", "validation_percent": 15, "test_percent": 15}
    crossed = {"models": [mine.model.uid], "prompts": [mine.prompt_version.uid], "max_tokens": 20, "temperature": 0}
    definition = {"name": "Mine", "question": "Which?", "dataset_version": mine.version.uid}
    demonstrated = {"messages": MESSAGES, "dataset_version": mine.version.uid}
    found = [
        Case(reverse("upload", args=[slug, mine.upload.uid]), "post", {**mapped, "dataset": mine.dataset.uid},
             "dataset", theirs.dataset.uid),
        Case(reverse("candidates_new", args=experiment), "post", crossed, "models", theirs.model.uid, many=True),
        Case(reverse("candidates_new", args=experiment), "post", crossed, "prompts", theirs.prompt_version.uid,
             many=True),
        Case(plan, "post", {**PLAN, "base_model": mine.model.uid}, "base_model", theirs.model.uid),
        Case(reverse("api_experiments"), "json", definition, "dataset_version", theirs.version.uid),
        Case(reverse("api_candidates", args=experiment[1:]), "json", crossed, "models", theirs.model.uid, many=True),
        Case(reverse("api_candidates", args=experiment[1:]), "json", crossed, "prompts", theirs.prompt_version.uid,
             many=True),
        Case(reverse("api_experiment_reference", args=experiment[1:]), "put", {"candidate": mine.candidate.uid},
             "candidate", theirs.candidate.uid),
        Case(reverse("api_prompts"), "json", {"name": "New", **demonstrated}, "dataset_version", theirs.version.uid),
        Case(reverse("api_prompt_versions", args=[mine.prompt.uid]), "json", demonstrated, "dataset_version",
             theirs.version.uid),
        Case(reverse("api_upload_import", args=[mine.upload.uid]), "json", {"dataset": mine.dataset.uid}, "dataset",
             theirs.dataset.uid),
        Case(api_plan, "json", {"base_model": mine.model.uid}, "base_model", theirs.model.uid),
    ]  # fmt: skip
    foreign = {
        "dataset_version": theirs.version.uid, "base_model": theirs.model.uid,
        "prompt_version": theirs.prompt_version.uid,
    }  # fmt: skip
    for field, uid in foreign.items():
        found += [
            Case(reverse("training_new", args=[slug]), "post", training, field, uid),
            Case(reverse("api_fine_tune"), "json", training, field, uid),
            Case(reverse("api_preflights"), "json", training, field, uid),
        ]
    return found


def sent(client: Client, case: Case, body: Any) -> int:
    """The status; what the request changed is undone."""
    with transaction.atomic():
        if case.method == "post":
            answer = client.post(case.where, body)
        else:
            send = client.put if case.method == "put" else client.post
            answer = send(case.where, json.dumps(body, default=str), content_type="application/json")
        transaction.set_rollback(True)
    return int(answer.status_code)


def test_another_teams_id_in_a_body_is_not_found_where_ones_own_is_taken(
    worlds: tuple[World, World], alice: User, charlie: User
) -> None:
    mine, theirs = things_of(worlds[0], alice), things_of(worlds[1], charlie)
    client = Client(raise_request_exception=False)
    client.force_login(alice)

    for case in cases(mine, theirs):
        own = sent(client, case, case.body)
        stolen = sent(client, case, {**case.body, case.field: [case.theirs] if case.many else case.theirs})

        assert own < 400, f"{case.where} does not take the body that it should: {own}"
        assert stolen in NOT_MINE, f"{case.where} took another team's {case.field}: {stolen}"


def test_an_experiment_on_another_teams_rows_is_not_even_asked_for(
    worlds: tuple[World, World], alice: User, charlie: User
) -> None:
    mine, theirs = things_of(worlds[0], alice), things_of(worlds[1], charlie)
    client = Client()
    client.force_login(alice)
    address = reverse("experiment_new", args=[mine.dataset.team.slug])

    assert client.get(f"{address}?dataset_version={mine.version.uid}").status_code == 200
    assert client.get(f"{address}?dataset_version={theirs.version.uid}").status_code == 404
    assert client.post(f"{address}?dataset_version={theirs.version.uid}", DEFINITION).status_code == 404
    tokens = reverse("training_tokens", args=[mine.dataset.team.slug])
    own = {"dataset_version": mine.version.uid, "base_model": mine.model.uid, "prompt_version": mine.prompt_version.uid}
    for field, uid in (
        ("dataset_version", theirs.version.uid),
        ("base_model", theirs.model.uid),
        ("prompt_version", theirs.prompt_version.uid),
    ):
        assert client.get(tokens, {**own, field: uid}).status_code == 404, field
