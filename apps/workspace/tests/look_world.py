"""Teams in four states, made of plainly fictional data through the services, to photograph every page with."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.urls import Resolver404, resolve, reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.accounts.services.people import member_add, team_create, user_create
from apps.billing.services import prices_ensure_local
from apps.core.artifacts import local_folder
from apps.core.models import JobStatus
from apps.evaluation.models import Output
from apps.evaluation.services.evaluations import final_evaluation_create
from apps.evaluation.services.leaderboards import leaderboard_refresh
from apps.evaluation.services.reports import report_create
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import Candidate, DatasetVersion, Experiment, PromptVersion
from apps.experiments.services.baselines import NAMES, baseline_model
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.experiments import experiment_create, experiment_register
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.baselines import baselines_for
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.services import language_model_create, language_model_ready
from apps.training.models import Checkpoint, MetricPoint, ModelVersion, SampleOutput, TrainingRun
from apps.training.services.aliases import model_alias_set
from apps.training.services.runs import training_run_create
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.definition import read_definition
from apps.workspace.quickstart.steps import STEPS
from apps.workspace.tests.look_choosing import choosing_experiment
from apps.workspace.tests.look_drafts import draft_pages, look_drafts
from apps.workspace.tests.look_keys import key_pages, look_keys
from apps.workspace.tests.look_money import look_money, money_pages
from apps.workspace.tests.look_playground import look_playground, playground_pages
from apps.workspace.tests.look_prompts import look_prompts, prompt_pages
from apps.workspace.tests.look_providers import look_providers, price_pages
from apps.workspace.tests.look_rows import FIELDS, address, evaluate, job_columns, step_times
from apps.workspace.tests.look_training import look_training, training_pages
from apps.workspace.tests.look_uploads import look_uploads, upload_pages

STATES = ("empty", "running", "full", "failed")
# So many addresses are enough where nobody looks at the figures.
FEW = 80
TUNED = "Fine-tuned model"
# How often each candidate's field is right in this fiction.
SKILL = {"Base model, plain prompt": 0.05, "Base model, few-shot prompt": 0.45, TUNED: 0.9}
BASELINES = {method: NAMES[method] for method in baselines_for({"format": "json"})}
SKILL |= dict(zip(BASELINES.values(), (0.02, 0.35, 0.6), strict=True))


@dataclass
class Look:
    team: Team
    owner: User
    experiment: Experiment | None = None
    version: DatasetVersion | None = None
    run: TrainingRun | None = None
    # One more, of which the demonstrations are still being chosen.
    choosing: Experiment | None = None
    provider_key: ProviderKey | None = None
    drafts: list[Experiment] = field(default_factory=list)


def make_look(state: str, *, addresses: int = 420) -> Look:
    """A new team in `state`, with an owner of its own, and a dataset of so many addresses."""
    number = Team.objects.count() + 1
    owner = user_create(actor=None, email=f"look-{state}-{number}@example.com", name="Alice Example")
    team = team_create(actor=owner, name=f"Fictional team, {state}", slug=f"look-{state}-{number}")
    look = Look(team=team, owner=owner)
    if state == "empty":
        return look
    member_add(actor=owner, team=team, email=f"bob-{state}-{number}@example.com", role="editor", name="Bob Example")
    prices_ensure_local(actor=owner, team=team)
    look.version = _version(look, addresses)
    look.experiment = _experiment(look)
    look.run = TrainingRun.objects.get(team=team)
    look_prompts(look.version, look.owner)
    look_uploads(look.team, look.owner, state)
    look_keys(look.team, look.owner)
    _quickstart(look, state)
    {"running": _running, "full": _full, "failed": _failed}[state](look)
    look_training(look.run, state)
    look.provider_key = look_providers(look.team, look.owner, state)
    look_money(look.team, look.owner, look.experiment, state)
    look_playground(look.version, look.owner, state)
    look.drafts = look_drafts(look.version, look.owner, look.experiment, late=state == "full")
    return look


def pages_of(look: Look) -> list[dict[str, str]]:
    """Every page of the team that has a route."""
    slug = look.team.slug
    home = reverse("home", args=[slug])
    pages = [("home", home)]
    pages += [
        (name, reverse(name, args=[slug]))
        for name in (
            "datasets",
            "prompts",
            "models",
            "model_add",
            "model_commercial_new",
            "jobs",
            "members",
            "provider_keys",
        )
    ]
    pages += [
        (f"training-{name}", reverse(f"training_{name}", args=[slug])) for name in ("new", "runs") if look.run is None
    ]
    pages += [("prompt-new", reverse("prompt_new", args=[slug])), *prompt_pages(look.team)]
    pages += [("experiments", f"{home}experiments/"), ("account", reverse("account")), ("start", reverse("start"))]
    pages += key_pages(look.team)
    if look.version is not None:
        version = reverse("dataset_version", args=[slug, look.version.dataset.uid, look.version.number])
        pages += [("dataset", version), ("dataset-test", f"{version}?split=test")]
    pages += [*money_pages(look.team), *playground_pages(look.team)]
    pages += upload_pages(look.team, look.version)
    if look.experiment is not None:
        base = f"{home}experiments/{look.experiment.uid}/"
        pages += [("experiment", base)]
        pages += [(f"experiment-{tab}", f"{base}{tab}/") for tab in ("outputs", "cost", "setup", "report", "progress")]
        pages += _output_pages(look.experiment, home)
    if look.drafts:
        pages += draft_pages(look.drafts[0])
    if look.provider_key is not None:
        pages += [("provider-key", reverse("provider_key", args=[slug, look.provider_key.uid]))]
        called = look.provider_key.language_models.get(served_name="gpt-5-mini")
        pages += [("model-commercial", reverse("model", args=[slug, called.uid])), *price_pages(look.team)]
    if look.choosing is not None:
        pages += [("experiment-choosing", reverse("experiment", args=[slug, look.choosing.uid]))]
    if look.run is not None:
        pages += [("training", f"{home}training/{look.run.uid}/")]
        pages += training_pages(look.run)
        names = ("model", "model_overlap", "model_try")
        where = [slug, look.run.language_model.uid]
        pages += [(name.replace("_", "-"), reverse(name, args=where)) for name in names]
    return [{"name": name, "url": url} for name, url in pages if _has_route(url)]


def _output_pages(experiment: Experiment, home: str) -> list[tuple[str, str]]:
    """One test example across candidates, and one evaluation."""
    output = Output.objects.filter(evaluation__experiment=experiment).order_by("id").first()
    if output is None:
        return []
    return [
        ("experiment-output", f"{home}experiments/{experiment.uid}/outputs/{output.example_id}/"),
        ("evaluation", f"{home}evaluations/{output.evaluation.uid}/"),
    ]


def _has_route(url: str) -> bool:
    try:
        resolve(urlsplit(url).path)
    except Resolver404:
        return False
    return True


def _version(look: Look, addresses: int) -> DatasetVersion:
    dataset = dataset_create(
        actor=look.owner,
        team=look.team,
        name="Fictional addresses",
        split_seed=1,
        description="Addresses of places that do not exist, made for photographs.",
        source="apps/workspace/tests/look_world.py",
        licence="Apache-2.0",
    )
    pairs = [address(n) for n in range(addresses)]
    # Two problems for the page to show: a duplicate and an empty row.
    return dataset_version_create(
        actor=look.owner,
        dataset=dataset,
        pairs=[*pairs, pairs[0], ("", "{}")],
        answer={"format": "json", "fields": FIELDS},
    )


def _experiment(look: Look) -> Experiment:
    assert look.version is not None
    experiment = experiment_create(
        actor=look.owner,
        team=look.team,
        name="Splitting fictional addresses into fields",
        question="Is a small model that was trained on our addresses better than prompting it, and is a model needed?",
        dataset_version=look.version,
        metrics=["field_f1", "exact_match", "valid_rate"],
        primary_metric="field_f1",
        margin=0.05,
        alpha=0.05,
        bootstrap_seed=1,
    )
    base = language_model_create(
        actor=look.owner,
        team=look.team,
        name="Fictional-135M",
        kind=LanguageModel.Kind.LOCAL,
        served_name="fictional-135m",
        state=LanguageModel.State.READY,
        revision="fedcba9876543210",
        artifact="models/fictional-135m",
        context_length=2048,
        note="Restored from 4-bit weights (Q4_1).",
    )
    _folders("models/fictional-135m", "hf", "ct2")
    tuned = _training(look, base)
    for method, name in BASELINES.items():
        model = baseline_model(actor=look.owner, team=look.team, dataset_version=look.version, method=method)
        _candidate(look, experiment, name, "baseline", model, None)
    for name in ("Base model, plain prompt", "Base model, few-shot prompt"):
        _candidate(look, experiment, name, "prompted", base, _prompt(look, name))
    reference = _candidate(look, experiment, TUNED, "tuned", tuned.language_model, tuned.prompt_version)
    return experiment_register(actor=look.owner, experiment=experiment, reference=reference)


def _folders(artifact: str, *names: str) -> None:
    """A model's folders, with nothing in them."""
    for name in names:
        (local_folder(artifact) / name).mkdir(parents=True, exist_ok=True)


def _candidate(
    look: Look, experiment: Experiment, name: str, kind: str, model: LanguageModel, prompt: PromptVersion | None
) -> Candidate:
    return candidate_add(
        actor=look.owner,
        experiment=experiment,
        name=name,
        kind=kind,
        language_model=model,
        prompt_version=prompt,
        parameters={"max_tokens": 96, "temperature": 0.0},
    )


def _prompt(look: Look, name: str) -> PromptVersion:
    spec = PromptSpec(messages=(Message(role="user", content=f"{name}\n{{{{ input }}}}"),), demonstrations=())
    return prompt_version_create(actor=look.owner, team=look.team, name=name, spec=spec)


def _training(look: Look, base: LanguageModel) -> TrainingRun:
    assert look.version is not None
    return training_run_create(
        actor=look.owner,
        team=look.team,
        name="Fictional-135M on fictional addresses",
        base_model=base,
        dataset_version=look.version,
        prompt_version=_prompt(look, "Addresses: tuned"),
        spec={"method": "lora", "learning_rate": 1e-3, "epochs": 2, "batch_size": 8, "seed": 1},
    )


def _quickstart(look: Look, state: str) -> None:
    status = {"running": JobStatus.RUNNING, "full": JobStatus.SUCCEEDED, "failed": JobStatus.FAILED}[state]
    ExperimentRun.objects.create(
        team=look.team,
        actor=look.owner,
        definition=read_definition(),
        definition_hash=f"{look.team.pk:064x}",
        experiment=look.experiment,
        training_run=look.run,
        phase="train" if state != "full" else "",
        done=len(STEPS) if state == "full" else 7,
        total=len(STEPS),
        facts={"steps": step_times(len(STEPS) if state == "full" else 7)},
        **job_columns(status),
    )


def _evaluate(look: Look, name: str, *, share: float = 1.0, status: str = JobStatus.SUCCEEDED) -> None:
    """The final test of one candidate: outputs for the first `share` of the test rows, as good as its skill."""
    assert look.experiment is not None
    candidate = look.experiment.candidates.get(name=name)
    evaluation = final_evaluation_create(actor=look.owner, candidate=candidate, order_seed=7)
    evaluate(evaluation, skill=SKILL[name], share=share, status=status)


def _train(look: Look, *, share: float, status: str) -> None:
    assert look.run is not None
    run, steps = look.run, 74
    done = round(steps * share)
    for step in range(1, done + 1):
        MetricPoint.objects.create(run=run, name="train_loss", step=step, value=0.2 + 2 / step**0.5)
        if step % 18 == 0:
            for name, factor in (("validation_answer_loss", 1.2), ("validation_token_loss", 0.2)):
                MetricPoint.objects.create(run=run, name=name, step=step, value=factor * (0.3 + 2 / step**0.5))
            Checkpoint.objects.create(run=run, step=step, digest=f"{step:064x}", size_bytes=19_500_000)
    for n in range(3):
        text, expected = address(9000 + n)
        shown = {"input": text, "expected": expected, "base": "The address is in Exampleton."}
        SampleOutput.objects.create(run=run, example_id=f"{n:064x}", step=max(done, 1), text=expected, **shown)
    now = timezone.now()
    phases = [
        {"name": "load", "state": "ended", "seconds": 3.1, "count": 1, "started_at": now.isoformat()},
        {"name": "train", "state": "started", "seconds": 0.0, "count": 0, "started_at": now.isoformat()},
    ]
    columns = job_columns(
        status, done=done, total=steps, phase="train", phases=phases, device="Fictional CPU, 2 threads"
    )
    columns |= {"tokens_per_second": 212.0, "memory_mib": 2310.0, "log_tail": f"{now.isoformat()} started"}
    TrainingRun.objects.filter(pk=run.pk).update(**columns)
    run.refresh_from_db()


def _running(look: Look) -> None:
    assert look.version is not None
    for name in BASELINES.values():
        _evaluate(look, name)
    _evaluate(look, "Base model, plain prompt", share=0.4, status=JobStatus.RUNNING)
    _train(look, share=0.5, status=JobStatus.RUNNING)
    leaderboard_refresh(actor=look.owner, experiment=look.experiment)  # type: ignore[arg-type]
    base = LanguageModel.objects.get(team=look.team, served_name="fictional-135m")
    look.choosing = choosing_experiment(owner=look.owner, team=look.team, version=look.version, model=base)


def _failed(look: Look) -> None:
    for name in BASELINES.values():
        _evaluate(look, name)
    _evaluate(look, "Base model, plain prompt", share=0.4, status=JobStatus.FAILED)
    _train(look, share=0.5, status=JobStatus.FAILED)
    assert look.run is not None
    LanguageModel.objects.filter(pk=look.run.language_model_id).update(
        state=LanguageModel.State.FAILED, error="The training run stopped at step 37."
    )
    leaderboard_refresh(actor=look.owner, experiment=look.experiment)  # type: ignore[arg-type]


def _certificate() -> dict[str, Any]:
    """As the engine writes it."""
    forms = ("trained", "reloaded", "merged", "converted")
    rows = [
        {
            "id": f"{n:08x}{n * 7919:08x}",
            "trained_tokens": 31 + n,
            "log_probability": {form: -1.2345 - n / 7 - at * 3e-6 for at, form in enumerate(forms)},
            "largest_difference": 1.3e-5 + n * 1e-6,
        }
        for n in range(8)
    ]
    return {
        "passed": True, "problems": [], "forms": list(forms), "tolerance": 0.002, "largest_difference": 2.1e-5,
        "stop_token": "<|im_end|>", "stop_id": 2, "examples": rows,
    }  # fmt: skip


def _full(look: Look) -> None:
    assert look.experiment is not None
    assert look.run is not None
    _train(look, share=1.0, status=JobStatus.SUCCEEDED)
    lineage = {
        **look.run.language_model.facts,
        "run": str(look.run.uid),
        "base_model": look.run.base_model.name,
        "split_seed": 1,
        "device": look.run.device,
        "seconds": 301.5,
    }
    certificate = _certificate()
    ModelVersion.objects.create(
        team=look.team,
        language_model=look.run.language_model,
        run=look.run,
        number=1,
        digest="0123456789abcdef" * 4,
        lineage=lineage,
        certificate=certificate,
    )
    language_model_ready(
        actor=look.owner,
        model=look.run.language_model,
        revision="0123456789abcdef",
        artifact="models/fictional",
        context_length=2048,
        facts={**lineage, "certificate": certificate, "version": 1},
    )
    _folders("models/fictional", "adapter", "merged", "ct2")
    version = ModelVersion.objects.get(run=look.run)
    model_alias_set(actor=look.owner, version=version, alias="production")
    for name in SKILL:
        _evaluate(look, name)
    leaderboard_refresh(actor=look.owner, experiment=look.experiment)
    report_create(
        actor=look.owner,
        experiment=look.experiment,
        training={"examples": 290, "epochs": 2, "tokens_per_second": 212.0, "seconds": 301.5},
        seconds={"import": 0.4, "baselines": 2.1, "train": 301.5},
        memory_mib={"peak_pss": 3120.0},
        versions={"llmopt": "0.1.0"},
    )
