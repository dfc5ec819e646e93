"""The steps of a run that a definition describes: the quickstart's, or one made for a team's own data.

Each step is idempotent: it looks at what is there, does what is missing, and says whether it is complete. Nothing here
decides by a test score."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.billing.selectors import experiment_cost
from apps.billing.services import budget_create, reservations_sweep
from apps.core.artifacts import folder_digest, local_folder
from apps.core.errors import ApplicationError
from apps.core.models import JobModel, JobStatus
from apps.evaluation.models import Evaluation
from apps.evaluation.reading import validation_value
from apps.evaluation.services.evaluations import (
    choice_evaluation_create,
    evaluation_start,
    final_evaluation_create,
)
from apps.evaluation.services.leaderboards import leaderboard_is_behind, leaderboard_refresh
from apps.evaluation.services.reports import report_create
from apps.experiments import rows
from apps.experiments.engine.prompts import Demonstration
from apps.experiments.models import Candidate, Dataset, DatasetVersion, Experiment, PromptVersion
from apps.experiments.selectors import contenders
from apps.experiments.services.baselines import NAMES, baseline_model
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.experiments import experiment_create, experiment_register
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.baselines import baselines_for
from apps.providers.models import LanguageModel
from apps.providers.services import language_model_create
from apps.training.models import TrainingRun
from apps.training.services.runs import training_run_create, training_run_start
from apps.workspace.engine.addresses import FIELDS, read_labelled
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.bringing import base_fetch
from apps.workspace.quickstart.commercial import commercial_models_ensure, models_within_reach
from apps.workspace.quickstart.facts import library_versions, training_facts
from apps.workspace.quickstart.plan import prompt_spec_of

PLAIN, FEW_SHOT, TUNED = "Base model, plain prompt", "Base model, few-shot prompt", "Fine-tuned model"


@dataclass(frozen=True)
class Step:
    """`run` returns True when the step is complete, False while something it started still works."""

    name: str
    label: str | Promise
    run: Callable[[ExperimentRun], bool]


class StepFailed(ApplicationError):
    """A job that the quickstart waits for has failed; its own sentence says why."""


def import_data(quickstart: ExperimentRun) -> bool:
    """The labelled addresses as an immutable dataset version with locked splits."""
    _dataset_version(quickstart)
    return True


def define(quickstart: ExperimentRun) -> bool:
    """The experiment with its metrics, margin and significance level, and one trial candidate per draw."""
    if quickstart.experiment is None:
        _experiment_create(quickstart)
    for seed in quickstart.definition["prompts"].get("few_shot", {}).get("draw_seeds", ()):
        _candidate(
            quickstart,
            name=_draw_name(seed),
            kind="prompted",
            model=_base_model(quickstart),
            prompt=_few_shot_prompt(quickstart, seed),
            trial=True,
        )
    return True


def _experiment_create(quickstart: ExperimentRun) -> None:
    """With the note of it: a kill between the two would leave an experiment that nobody goes on with."""
    text = quickstart.definition["experiment"]
    version = _dataset_version(quickstart)
    with transaction.atomic():
        experiment = experiment_create(
            actor=quickstart.actor,
            team=quickstart.team,
            name=text["name"],
            question=text["question"],
            dataset_version=version,
            metrics=text["metrics"],
            primary_metric=text["primary_metric"],
            margin=text["margin"],
            alpha=text["alpha"],
            bootstrap_seed=text["bootstrap_seed"],
        )
        limit = text.get("budget_nanousd") or _limit_of_commercial(quickstart)
        if limit:
            budget_create(actor=quickstart.actor, team=quickstart.team, limit_nanousd=limit, experiment=experiment)
        _note(quickstart, "experiment", experiment)


def _limit_of_commercial(quickstart: ExperimentRun) -> int:
    """What the definition lets calls cost where some go to a provider; 0 where none does."""
    limit = quickstart.definition.get("commercial", {}).get("budget_nanousd", 0)
    return int(limit) if models_within_reach(user=quickstart.actor, team=quickstart.team) else 0


def _note(quickstart: ExperimentRun, name: str, made: Experiment | TrainingRun) -> None:
    """Keep what was made, inside its transaction. A process that slept while another took over must not: what it made
    is undone with the exception."""
    mine = ExperimentRun.objects.filter(pk=quickstart.pk, claim=quickstart.claim, status=JobStatus.RUNNING)
    if not mine.filter(**{f"{name}__isnull": True}).update(**{name: made}):
        raise StepFailed(_("Another process has taken over this job."), code="claim_lost")
    setattr(quickstart, name, made)


def bring_model(quickstart: ExperimentRun) -> bool:
    """Whether the base model that was asked for with the run has come in."""
    fetch = base_fetch(quickstart)
    return fetch is None or job_is_done(fetch)


def choose_demonstrations(quickstart: ExperimentRun) -> bool:
    """Each draw on the same sample of validation, one after the other."""
    few_shot = quickstart.definition["prompts"]["few_shot"]
    for seed in few_shot["draw_seeds"]:
        evaluation = choice_evaluation_create(
            actor=quickstart.actor,
            candidate=_experiment(quickstart).candidates.get(name=_draw_name(seed)),
            order_seed=quickstart.definition["experiment"]["order_seed"],
            limit=few_shot["sample"],
        )
        if not _job_is_done(quickstart, evaluation):
            return False
    return True


def register_decision(quickstart: ExperimentRun) -> bool:
    """All contenders, the planned training run, the reference and the family: written before the first test score."""
    experiment = _experiment(quickstart)
    if experiment.state != Experiment.State.DRAFT:
        return True
    version = experiment.dataset_version
    for method in quickstart.definition.get("baselines", baselines_for(version.answer)):
        model = baseline_model(actor=quickstart.actor, team=quickstart.team, dataset_version=version, method=method)
        _candidate(quickstart, name=NAMES[method], kind="baseline", model=model, prompt=None)
    # The reference is the last of these; what is paid for elsewhere is compared with it.
    models = [*_prompted(quickstart), *_commercial(quickstart), *_tuned(quickstart)]
    # Where no model is compared, all are measured against the simplest baseline.
    reference = models[-1] if models else contenders(experiment)[0]
    experiment_register(actor=quickstart.actor, experiment=experiment, reference=reference)
    return True


def _prompted(quickstart: ExperimentRun) -> list[Candidate]:
    """The base model with each prompt of the definition."""
    prompts, made = quickstart.definition["prompts"], []
    if "plain" in prompts:
        plain = _prompt(quickstart, "plain", prompts["plain"])
        made.append(_candidate(quickstart, name=PLAIN, kind="prompted", model=_base_model(quickstart), prompt=plain))
    if "few_shot" in prompts:
        draw = _chosen_draw(_experiment(quickstart), prompts["few_shot"]["draw_seeds"])
        shown = _few_shot_prompt(quickstart, draw)
        made.append(_candidate(quickstart, name=FEW_SHOT, kind="prompted", model=_base_model(quickstart), prompt=shown))
    return made


def _commercial(quickstart: ExperimentRun) -> list[Candidate]:
    """The smallest current model of each provider that the team has a key for, with the best prompt that there is."""
    if "commercial" not in quickstart.definition:
        return []
    prompts, made = quickstart.definition["prompts"], []
    if "few_shot" in prompts:
        draw = _chosen_draw(_experiment(quickstart), prompts["few_shot"]["draw_seeds"])
        prompt = _few_shot_prompt(quickstart, draw)
    else:
        prompt = _prompt(quickstart, "commercial", quickstart.definition["commercial"]["prompt"])
    for model in commercial_models_ensure(actor=quickstart.actor, team=quickstart.team):
        made.append(
            _candidate(
                quickstart,
                name=_("%(model)s, with examples") % {"model": model.name},
                kind="commercial",
                model=model,
                prompt=prompt,
            )
        )
    return made


def _tuned(quickstart: ExperimentRun) -> list[Candidate]:
    """The model that the definition trains, if it trains one."""
    if "training" not in quickstart.definition:
        return []
    prompt = _prompt(quickstart, "tuned", quickstart.definition["prompts"]["tuned"])
    run = quickstart.training_run or _training_run_create(quickstart, prompt)
    return [_candidate(quickstart, name=TUNED, kind="tuned", model=run.language_model, prompt=prompt)]


def _training_run_create(quickstart: ExperimentRun, prompt: PromptVersion) -> TrainingRun:
    """The run with the note of it, as for the experiment."""
    base, version = _base_model(quickstart), _dataset_version(quickstart)
    with transaction.atomic():
        run = training_run_create(
            actor=quickstart.actor,
            team=quickstart.team,
            name=_("%(model)s on %(dataset)s") % {"model": base.name, "dataset": version.dataset.name},
            base_model=base,
            dataset_version=version,
            prompt_version=prompt,
            spec=quickstart.definition["training"],
            limits=quickstart.definition.get("training_limits"),
        )
        _note(quickstart, "training_run", run)
    return run


def evaluate_baselines(quickstart: ExperimentRun) -> bool:
    baselines = _experiment(quickstart).candidates.filter(kind="baseline", trial=False)
    done = [final_is_done(quickstart, baseline) for baseline in baselines]  # starts all before it waits for any
    return all(done)


def evaluate_plain(quickstart: ExperimentRun) -> bool:
    return _named_is_done(quickstart, PLAIN)


def evaluate_few_shot(quickstart: ExperimentRun) -> bool:
    return _named_is_done(quickstart, FEW_SHOT)


def evaluate_commercial(quickstart: ExperimentRun) -> bool:
    paid = _experiment(quickstart).candidates.filter(kind="commercial", trial=False)
    done = [final_is_done(quickstart, candidate) for candidate in paid]
    return all(done)


def train(quickstart: ExperimentRun) -> bool:
    run = quickstart.training_run
    assert run is not None
    return training_is_done(quickstart, run)


def evaluate_tuned(quickstart: ExperimentRun) -> bool:
    return _named_is_done(quickstart, TUNED)


def write_report(quickstart: ExperimentRun) -> bool:
    reservations_sweep()
    if experiment_cost(_experiment(quickstart)).held_nanousd:
        return False  # a call of a process that died: its money is booked or given back before the books are closed
    report_create(
        actor=quickstart.actor,
        experiment=_experiment(quickstart),
        training=training_facts(quickstart.training_run or _first_training(_experiment(quickstart))),
        seconds=quickstart.seconds,
        memory_mib=quickstart.facts.get("memory_mib", {}),
        versions={**library_versions(), "definition": quickstart.definition_hash},
    )
    return True


def _first_training(experiment: Experiment) -> TrainingRun | None:
    """Of the candidates' models that were trained here, the training of the first one."""
    made = TrainingRun.objects.filter(language_model__candidates__experiment=experiment)
    return made.order_by("language_model__candidates__position").first()


STEPS = (
    Step("import", gettext_lazy("Import the data"), import_data),
    Step("define", gettext_lazy("Define the experiment"), define),
    Step("model", gettext_lazy("Bring the model in"), bring_model),
    Step("choose", gettext_lazy("Choose the examples to show"), choose_demonstrations),
    Step("register", gettext_lazy("Freeze the candidates"), register_decision),
    Step("baselines", gettext_lazy("Test the free baselines"), evaluate_baselines),
    Step("commercial", gettext_lazy("Test the commercial models"), evaluate_commercial),
    Step("plain", gettext_lazy("Test the plain prompt"), evaluate_plain),
    Step("few_shot", gettext_lazy("Test the few-shot prompt"), evaluate_few_shot),
    Step("train", gettext_lazy("Fine-tune the model"), train),
    Step("tuned", gettext_lazy("Test the fine-tuned model"), evaluate_tuned),
    Step("report", gettext_lazy("Write the report"), write_report),
)

# What a job's row and a report call them; a report adds the time of all of them together.
PHASES: dict[str, str | Promise] = {step.name: step.label for step in STEPS} | {"total": gettext_lazy("All together")}


def _experiment(quickstart: ExperimentRun) -> Experiment:
    assert quickstart.experiment is not None
    return quickstart.experiment


def _dataset_version(quickstart: ExperimentRun) -> DatasetVersion:
    if quickstart.experiment is not None:
        return quickstart.experiment.dataset_version
    text = quickstart.definition["dataset"]
    if "version" in text:
        return DatasetVersion.objects.get(dataset__team=quickstart.team, uid=text["version"])
    dataset = Dataset.objects.filter(team=quickstart.team, name=text["name"]).first() or dataset_create(
        actor=quickstart.actor,
        team=quickstart.team,
        name=text["name"],
        split_seed=text["split_seed"],
        description=text["description"],
        source=text["source"],
        licence=text["licence"],
    )
    if dataset.split_seed != text["split_seed"]:
        raise StepFailed(
            _("The dataset %(name)s exists with split seed %(seed)d. Give the definition's dataset another name.")
            % {"name": dataset.name, "seed": dataset.split_seed},
            code="split_seed",
        )
    pairs = list(read_labelled(Path(settings.VAR_DIR) / "assets" / text["file"]))
    return dataset_version_create(
        actor=quickstart.actor,
        dataset=dataset,
        pairs=pairs[: text.get("limit", len(pairs))],
        answer={"format": "json", "fields": list(FIELDS)},
    )


def _base_model(quickstart: ExperimentRun) -> LanguageModel:
    text = quickstart.definition["model"]
    if "uid" in text:
        return LanguageModel.objects.get(team=quickstart.team, uid=text["uid"])
    known = LanguageModel.objects.filter(team=quickstart.team, served_name=text["served_name"]).first()
    if known is not None:
        return known
    artifact = f"models/{text['served_name']}"
    folder = local_folder(artifact) / "hf"
    if not folder.is_dir():
        raise StepFailed(_("The base model is missing: there is no %(folder)s.") % {"folder": folder}, code="no_model")
    digest = folder_digest(folder)
    return language_model_create(
        actor=quickstart.actor,
        team=quickstart.team,
        name=text["name"],
        kind=LanguageModel.Kind.LOCAL,
        served_name=text["served_name"],
        state=LanguageModel.State.READY,
        revision=digest[:16],
        artifact=artifact,
        context_length=text["context_length"],
        note=text["note"],
        facts={"weights": digest},
    )


def _prompt(
    quickstart: ExperimentRun, name: str, text: dict[str, Any], demonstrations: tuple[Demonstration, ...] = ()
) -> PromptVersion:
    return prompt_version_create(
        actor=quickstart.actor,
        team=quickstart.team,
        name=f"{quickstart.definition.get('prompt_name', 'Addresses')}: {name.replace('_', '-')}",
        spec=prompt_spec_of(text, demonstrations),
        demonstrations_from=_dataset_version(quickstart),
        columns=_dataset_version(quickstart).columns,
    )


def _few_shot_prompt(quickstart: ExperimentRun, seed: int) -> PromptVersion:
    text = quickstart.definition["prompts"]["few_shot"]
    train = sorted(rows.train_rows(_dataset_version(quickstart)), key=lambda row: row.id)
    drawn = random.Random(seed).sample(train, text["k"])  # noqa: S311 - a recorded draw, not a secret
    shown = tuple(Demonstration(row.id, row.input, row.expected, dict(row.columns)) for row in drawn)
    return _prompt(quickstart, "few_shot", text, shown)


def _draw_name(seed: int) -> str:
    return f"{FEW_SHOT}, draw {seed}"


def _chosen_draw(experiment: Experiment, seeds: list[int]) -> int:
    """The draw with the highest primary metric on its validation sample; the first among equals."""
    evaluations = {evaluation.candidate.name: evaluation for evaluation in experiment.evaluations.all()}
    return max(seeds, key=lambda seed: (validation_value(evaluations[_draw_name(seed)]), -seeds.index(seed)))


def _candidate(
    quickstart: ExperimentRun,
    *,
    name: str,
    kind: str,
    model: LanguageModel,
    prompt: PromptVersion | None,
    trial: bool = False,
) -> Candidate:
    experiment = _experiment(quickstart)
    known = experiment.candidates.filter(name=name).first()
    return known or candidate_add(
        actor=quickstart.actor,
        experiment=experiment,
        name=name,
        kind=kind,
        language_model=model,
        prompt_version=prompt,
        parameters=quickstart.definition["generation"],
        trial=trial,
    )


def _named_is_done(quickstart: ExperimentRun, name: str) -> bool:
    return final_is_done(quickstart, _experiment(quickstart).candidates.get(name=name))


def final_is_done(quickstart: ExperimentRun, candidate: Candidate) -> bool:
    """Whether the candidate's final test has ended, with its figures. Planned and started if it was not yet."""
    experiment = _experiment(quickstart)
    evaluation = final_evaluation_create(
        actor=quickstart.actor,
        candidate=candidate,
        order_seed=quickstart.definition["experiment"]["order_seed"],
    )
    if not _job_is_done(quickstart, evaluation):
        return False
    if leaderboard_is_behind(experiment):
        leaderboard_refresh(actor=quickstart.actor, experiment=experiment)
    return True


def training_is_done(quickstart: ExperimentRun, run: TrainingRun) -> bool:
    """Whether the training has ended well. Started if it was not yet."""
    training_run_start(actor=quickstart.actor, run=run)
    return job_is_done(run)


def _job_is_done(quickstart: ExperimentRun, evaluation: Evaluation) -> bool:
    evaluation_start(actor=quickstart.actor, evaluation=evaluation)
    return job_is_done(evaluation)


def job_is_done(job: JobModel) -> bool:
    """Whether it has ended well. StepFailed with its own sentence when it ended otherwise."""
    job.refresh_from_db()
    if job.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
        raise StepFailed(job.error or _("%(job)s was cancelled.") % {"job": job}, code="job_failed")
    return job.status == JobStatus.SUCCEEDED
