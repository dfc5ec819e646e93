"""A fictional experiment of which the demonstrations are still being chosen: nothing is registered or tested yet."""

from apps.accounts.models import Team, User
from apps.core.models import JobStatus
from apps.evaluation.services.evaluations import choice_evaluation_create
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import DatasetVersion, Experiment
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.experiments import experiment_create
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.definition import read_definition
from apps.workspace.quickstart.making import FEW_SHOT
from apps.workspace.quickstart.steps import STEPS
from apps.workspace.tests.look_rows import evaluate, job_columns, step_times

# How much of its sample each draw has answered, and how good its answers are.
DRAWS = ((1.0, 0.4), (0.4, 0.5))
SAMPLE = 32
STEPS_DONE = 2


def choosing_experiment(*, owner: User, team: Team, version: DatasetVersion, model: LanguageModel) -> Experiment:
    """One draw has been tried, the second is at work."""
    experiment = experiment_create(
        actor=owner,
        team=team,
        name="Splitting fictional addresses, still choosing",
        question="Which examples should the prompt show?",
        dataset_version=version,
        metrics=["field_f1", "exact_match", "valid_rate"],
        primary_metric="field_f1",
        margin=0.05,
        alpha=0.05,
        bootstrap_seed=1,
    )
    for number, (share, skill) in enumerate(DRAWS, start=1):
        _try(experiment, owner, model, number=number, share=share, skill=skill)
    ExperimentRun.objects.create(
        team=team,
        actor=owner,
        definition=read_definition(),
        definition_hash=f"choosing-{experiment.pk}",
        experiment=experiment,
        phase=STEPS[STEPS_DONE].name,
        done=STEPS_DONE,
        total=len(STEPS),
        facts={"steps": step_times(STEPS_DONE)},
        **job_columns(JobStatus.RUNNING),
    )
    return experiment


def _try(experiment: Experiment, owner: User, model: LanguageModel, *, number: int, share: float, skill: float) -> None:
    spec = PromptSpec(messages=(Message(role="user", content=f"Draw {number}: {{{{ input }}}}"),), demonstrations=())
    candidate = candidate_add(
        actor=owner,
        experiment=experiment,
        name=f"{FEW_SHOT}, draw {number}",
        kind="prompted",
        language_model=model,
        prompt_version=prompt_version_create(actor=owner, team=experiment.team, name="Few-shot", spec=spec),
        parameters={"max_tokens": 96, "temperature": 0.0},
        trial=True,
    )
    evaluation = choice_evaluation_create(actor=owner, candidate=candidate, order_seed=7, limit=SAMPLE)
    evaluate(evaluation, skill=skill, share=share, status=JobStatus.SUCCEEDED if share == 1 else JobStatus.RUNNING)
