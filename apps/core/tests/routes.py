"""Every route of the product, and the objects that its addresses name in tests."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.accounts.models import Membership, Team, User
from apps.accounts.services.keys import api_key_create
from apps.accounts.services.people import sign_in_link_create
from apps.core.artifacts import local_folder, put_bytes
from apps.core.models import JobStatus
from apps.core.tests import factories
from apps.evaluation.services.evaluations import final_evaluation_create
from apps.experiments import rows
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import Experiment, Prompt
from apps.experiments.services.datasets import dataset_version_create
from apps.experiments.services.experiments import experiment_register
from apps.experiments.services.prompts import prompt_label_set, prompt_version_create
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.training.models import TrainingRun
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun
from apps.workspace.quickstart.definition import read_definition
from apps.workspace.services.playground import playground_run_create

ADMIN = "admin/"


def routes() -> list[str]:
    """Patterns of all routes as they are written in the URL lists, admin's own left out."""
    return sorted({route for route in _walk(get_resolver(), "") if not route.startswith(ADMIN)})


def admin_routes() -> list[str]:
    return sorted({route for route in _walk(get_resolver(), "") if route.startswith(ADMIN)})


def _walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry, route)
        elif isinstance(entry, URLPattern):
            yield route


@dataclass
class World:
    """A team with one of everything. `uids` answers which object a route is about: the longest prefix decides."""

    team: Team
    uids: dict[str, Any]
    token: str
    version_number: int
    example_id: str
    row_id: str
    candidate: Any

    def address(self, route: str) -> str:
        """The path of `route` with this team's objects in it."""
        prefix = max((known for known in self.uids if route.startswith(known)), key=len, default="")
        values = {
            "slug:team": self.team.slug,
            "slug:kind": "evaluation",
            "uuid:uid": self.uids.get(prefix, ""),
            "uuid:candidate": self.candidate,
            "int:number": self.version_number,
            "str:token": self.token,
            "str:label": "production",
            "slug:example": self.example_id,
            "slug:row": self.row_id,
        }
        path = "/" + route
        for parameter, value in values.items():
            path = path.replace(f"<{parameter}>", str(value))
        if "<" in path:
            raise LookupError(f"apps/core/tests/routes.py does not know what {path} is about")
        return path


def make_world(team: Team, owner: User, member: User) -> World:
    """One of everything in `team`, owned by `owner`; `member` is who settings pages act on."""
    dataset = factories.DatasetFactory.create(team=team, created_by=owner)
    pairs = [(_unlike_any_other(n), json.dumps({"number": str(n)})) for n in range(60)]
    version = dataset_version_create(actor=owner, dataset=dataset, pairs=pairs)
    experiment = factories.ExperimentFactory.create(team=team, dataset_version=version, created_by=owner)
    candidate = factories.CandidateFactory.create(experiment=experiment)
    evaluation = factories.EvaluationFactory.create(candidate=candidate, status=JobStatus.QUEUED)
    experiment.report_artifact = put_bytes(f"reports/{experiment.uid}.json", b'{"schema": "llmopt.report/1"}')
    experiment.save(update_fields=["report_artifact"])
    example_id = _answer_a_test_example(experiment, owner)
    walked = factories.QuickstartFactory.create(
        team=team, actor=owner, experiment=experiment, definition=read_definition()
    )
    run = factories.TrainingRunFactory.create(
        team=team, created_by=owner, dataset_version=version, status=JobStatus.RUNNING
    )
    upload = factories.UploadFactory.create(team=team, created_by=owner, status=JobStatus.QUEUED)
    staged = put_bytes("imports/world/problems.csv", b"line\r\n").rpartition("/")[0]
    dataset_import = factories.DatasetImportFactory.create(upload=upload, staged=staged, status=JobStatus.QUEUED)
    preflight = factories.PreflightFactory.create(team=team, created_by=owner, dataset_version=version)
    commercial = factories.CommercialModelFactory.create(team=team)
    key = api_key_create(actor=owner, team=team, name="Nightly", scopes=["read"]).key
    budget = factories.BudgetFactory.create(team=team, person=owner)
    place = factories.AlertDestinationFactory.create(team=team)
    unknown = factories.UnknownFactory.create(team=team, person=owner)
    said = factories.FeedbackFactory.create(
        team=team, generation=factories.entry_of(unknown, kind="unknown"), person=owner
    )
    base = "t/<slug:team>/"
    prompt = _prompt(team, owner)
    return World(
        team=team,
        uids={
            f"{base}datasets/": dataset.uid,
            f"{base}uploads/": upload.uid,
            f"{base}imports/": dataset_import.uid,
            f"{base}prompts/": prompt.uid,
            f"{base}models/": candidate.language_model.uid,
            **dict.fromkeys(
                (f"{base}models/<uuid:uid>/{page}" for page in ("alias/", "adapter.zip", "merged.zip", "overlap/")),
                _registered(run, team).uid,
            ),
            f"{base}models/<uuid:uid>/price/": commercial.uid,
            f"{base}jobs/": evaluation.uid,
            f"{base}usage/unknown/": unknown.uid,
            f"{base}settings/providers/": commercial.provider_key.uid,
            f"{base}settings/api-keys/": key.uid,
            f"{base}settings/budgets/": budget.uid,
            "api/v1/budgets/": budget.uid,
            "api/v1/feedback/": said.uid,
            f"{base}settings/alerts/": place.uid,
            "api/v1/alert-destinations/": place.uid,
            f"{base}settings/members/": Membership.objects.get(team=team, user=member).uid,
            f"{base}experiments/": experiment.uid,
            f"{base}training/": run.uid,
            f"{base}plans/": walked.uid,
            f"{base}playground/": _playground(team, owner, candidate.language_model).uid,
            f"{base}training/preflights/": preflight.uid,
            f"{base}evaluations/": evaluation.uid,
            "api/v1/api-keys/": key.uid,
            "api/v1/experiments/": experiment.uid,
            "api/v1/datasets/": dataset.uid,
            "api/v1/uploads/": upload.uid,
            "api/v1/imports/": dataset_import.uid,
            "api/v1/prompts/": prompt.uid,
            "api/v1/provider-keys/": commercial.provider_key.uid,
            "api/v1/evaluations/": evaluation.uid,
            "api/v1/fine-tune/": run.uid,
            "api/v1/fine-tune/preflights/": preflight.uid,
            "api/v1/experiment-runs/": walked.uid,
            "api/v1/jobs/": evaluation.uid,
            "api/v1/models/": candidate.language_model.uid,
            "api/v1/models/<uuid:uid>/prices": commercial.uid,
        },
        token=sign_in_link_create(actor=None, user=owner),
        version_number=version.number,
        example_id=example_id,
        row_id=rows.train_rows(version)[0].id,
        candidate=candidate.uid,
    )


def _playground(team: Team, owner: User, model: LanguageModel) -> PlaygroundRun:
    """A run whose one candidate has answered, so that nobody is asked."""
    messages = [{"role": "user", "content": "{{ input }}"}]
    candidate = {"prompt": "", "messages": messages, "max_tokens": 16, "temperature": 0}
    setup = {"input": "Hello", "columns": {}, "candidates": [candidate]}
    run = playground_run_create(actor=owner, team=team, models=[str(model.uid)], setup=setup)
    PlaygroundAnswer.objects.create(run=run, number=1, text="Hello there")
    return run


def _prompt(team: Team, owner: User) -> Prompt:
    """A prompt with a first version that a label points at."""
    spec = PromptSpec(messages=(Message("user", "{{ input }}"),))
    version = prompt_version_create(actor=owner, team=team, name="Plain", spec=spec)
    prompt_label_set(actor=owner, prompt=version.prompt, name="production", version=version)
    return version.prompt


def _registered(run: TrainingRun, team: Team) -> LanguageModel:
    """A trained model with folders to take away."""
    version = factories.ModelVersionFactory.create(
        run=factories.TrainingRunFactory.create(
            team=team, dataset_version=run.dataset_version, created_by=run.created_by
        )
    )
    model: LanguageModel = version.language_model
    model.state, model.artifact = LanguageModel.State.READY, f"models/{model.uid}"
    model.save(update_fields=["state", "artifact"])
    for form in ("adapter", "merged"):
        (local_folder(model.artifact) / form).mkdir(parents=True)
    return model


def _unlike_any_other(n: int) -> str:
    """An input with no near-duplicate: those would all be in one group, and so in one split."""
    return hashlib.sha256(str(n).encode()).hexdigest()


def _answer_a_test_example(experiment: Experiment, owner: User) -> str:
    """Register a candidate, plan its final test and store one output of it. Returns the example's id."""
    reference = factories.CandidateFactory.create(experiment=experiment)
    experiment_register(actor=owner, experiment=experiment, reference=reference)
    reference.refresh_from_db()
    evaluation = final_evaluation_create(actor=owner, candidate=reference, order_seed=1)
    example_id = str(evaluation.example_ids[0])
    output = factories.OutputFactory.create(evaluation=evaluation, example_id=example_id)
    factories.ScoreFactory.create(output=output, value=0.5)
    return example_id


def status_of(client: Client, method: str, path: str, data: dict[str, Any] | None) -> int:
    """What a request is answered with; no answer of any kind may hold a planted secret."""
    send = getattr(client, method.lower())
    as_json = data is not None and path.startswith("/api/")
    given = {} if data is None else {"data": data, **({"content_type": "application/json"} if as_json else {})}
    answer = send(path, **given)
    whole = f"{answer.headers}".encode() + _body_of(answer)
    assert [secret for secret in factories.PLANTED if secret.encode() in whole] == []
    return int(answer.status_code)


def _body_of(answer: Any) -> bytes:
    if not answer.streaming:
        return bytes(answer.content)
    return async_to_sync(_streamed)(answer) if answer.is_async else bytes(answer.getvalue())


async def _streamed(answer: Any) -> bytes:
    return b"".join([part async for part in answer.streaming_content])


def pattern_to_sample(route: str) -> str:
    """An address for an admin route: its parameters do not name anything that exists."""
    path = re.sub(r"<[^>]+>", "1", route)
    path = re.sub(r"\(\?P<[^>]+>[^)]*\)", "1", path)
    return "/" + path.replace("^", "").replace("$", "").replace("\\Z", "").replace("\\", "")
