"""The steps of a run that a definition describes: the quickstart's, or one made for a team's own data.

Each step is idempotent: it looks at what is there, does what is missing, and says whether it is complete. Nothing here
decides by a test score."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.billing.selectors import experiment_cost
from apps.billing.services import budget_create, reservations_sweep
from apps.core.models import JobModel, JobStatus
from apps.evaluation.models import Evaluation
from apps.evaluation.services.evaluations import (
    choice_evaluation_create,
    evaluation_start,
    final_evaluation_create,
)
from apps.evaluation.services.leaderboards import leaderboard_is_behind, leaderboard_refresh
from apps.evaluation.services.reports import report_create
from apps.experiments.models import Candidate, Experiment, PromptVersion
from apps.experiments.selectors import contenders
from apps.experiments.services.baselines import NAMES, baseline_model
from apps.experiments.services.experiments import experiment_create, experiment_register
from apps.providers.engine.baselines import baselines_for
from apps.training.models import TrainingRun
from apps.training.services.runs import training_run_create, training_run_start
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.bringing import base_fetch
from apps.workspace.quickstart.commercial import commercial_models_ensure, models_within_reach
from apps.workspace.quickstart.facts import library_versions, training_facts
from apps.workspace.quickstart.making import (
    FEW_SHOT,
    PLAIN,
    TUNED,
    StepFailed,
    base_model_of,
    candidate_ensure,
    chosen_draw,
    dataset_version_of,
    draw_name,
    experiment_of,
    few_shot_prompt_ensure,
    prompt_ensure,
)


@dataclass(frozen=True)
class Step:
    """`run` returns True when the step is complete, False while something it started still works."""

    name: str
    label: str | Promise
    run: Callable[[ExperimentRun], bool]


def import_data(quickstart: ExperimentRun) -> bool:
    """The labelled addresses as an immutable dataset version with locked splits."""
    dataset_version_of(quickstart)
    return True


def define(quickstart: ExperimentRun) -> bool:
    """The experiment with its metrics, margin and significance level, and one trial candidate per draw."""
    if quickstart.experiment is None:
        _experiment_create(quickstart)
    for seed in quickstart.definition["prompts"].get("few_shot", {}).get("draw_seeds", ()):
        candidate_ensure(
            quickstart,
            name=draw_name(seed),
            kind="prompted",
            model=base_model_of(quickstart),
            prompt=few_shot_prompt_ensure(quickstart, seed),
            trial=True,
        )
    return True


def _experiment_create(quickstart: ExperimentRun) -> None:
    """With the note of it: a kill between the two would leave an experiment that nobody goes on with."""
    text = quickstart.definition["experiment"]
    version = dataset_version_of(quickstart)
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
            candidate=experiment_of(quickstart).candidates.get(name=draw_name(seed)),
            order_seed=quickstart.definition["experiment"]["order_seed"],
            limit=few_shot["sample"],
        )
        if not _job_is_done(quickstart, evaluation):
            return False
    return True


def register_decision(quickstart: ExperimentRun) -> bool:
    """All contenders, the planned training run, the reference and the family: written before the first test score."""
    experiment = experiment_of(quickstart)
    if experiment.state != Experiment.State.DRAFT:
        return True
    version = experiment.dataset_version
    for method in quickstart.definition.get("baselines", baselines_for(version.answer)):
        model = baseline_model(actor=quickstart.actor, team=quickstart.team, dataset_version=version, method=method)
        candidate_ensure(quickstart, name=NAMES[method], kind="baseline", model=model, prompt=None)
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
        plain = prompt_ensure(quickstart, "plain", prompts["plain"])
        made.append(
            candidate_ensure(quickstart, name=PLAIN, kind="prompted", model=base_model_of(quickstart), prompt=plain)
        )
    if "few_shot" in prompts:
        draw = chosen_draw(experiment_of(quickstart), prompts["few_shot"]["draw_seeds"])
        shown = few_shot_prompt_ensure(quickstart, draw)
        made.append(
            candidate_ensure(quickstart, name=FEW_SHOT, kind="prompted", model=base_model_of(quickstart), prompt=shown)
        )
    return made


def _commercial(quickstart: ExperimentRun) -> list[Candidate]:
    """The smallest current model of each provider that the team has a key for, with the best prompt that there is."""
    if "commercial" not in quickstart.definition:
        return []
    prompts, made = quickstart.definition["prompts"], []
    if "few_shot" in prompts:
        draw = chosen_draw(experiment_of(quickstart), prompts["few_shot"]["draw_seeds"])
        prompt = few_shot_prompt_ensure(quickstart, draw)
    else:
        prompt = prompt_ensure(quickstart, "commercial", quickstart.definition["commercial"]["prompt"])
    for model in commercial_models_ensure(actor=quickstart.actor, team=quickstart.team):
        made.append(
            candidate_ensure(
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
    prompt = prompt_ensure(quickstart, "tuned", quickstart.definition["prompts"]["tuned"])
    run = quickstart.training_run or _training_run_create(quickstart, prompt)
    return [candidate_ensure(quickstart, name=TUNED, kind="tuned", model=run.language_model, prompt=prompt)]


def _training_run_create(quickstart: ExperimentRun, prompt: PromptVersion) -> TrainingRun:
    """The run with the note of it, as for the experiment."""
    base, version = base_model_of(quickstart), dataset_version_of(quickstart)
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
    baselines = experiment_of(quickstart).candidates.filter(kind="baseline", trial=False)
    done = [final_is_done(quickstart, baseline) for baseline in baselines]  # starts all before it waits for any
    return all(done)


def evaluate_plain(quickstart: ExperimentRun) -> bool:
    return _named_is_done(quickstart, PLAIN)


def evaluate_few_shot(quickstart: ExperimentRun) -> bool:
    return _named_is_done(quickstart, FEW_SHOT)


def evaluate_commercial(quickstart: ExperimentRun) -> bool:
    paid = experiment_of(quickstart).candidates.filter(kind="commercial", trial=False)
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
    if experiment_cost(experiment_of(quickstart)).held_nanousd:
        return False  # a call of a process that died: its money is booked or given back before the books are closed
    report_create(
        actor=quickstart.actor,
        experiment=experiment_of(quickstart),
        training=training_facts(quickstart.training_run or _first_training(experiment_of(quickstart))),
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


def _named_is_done(quickstart: ExperimentRun, name: str) -> bool:
    return final_is_done(quickstart, experiment_of(quickstart).candidates.get(name=name))


def final_is_done(quickstart: ExperimentRun, candidate: Candidate) -> bool:
    """Whether the candidate's final test has ended, with its figures. Planned and started if it was not yet."""
    experiment = experiment_of(quickstart)
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
