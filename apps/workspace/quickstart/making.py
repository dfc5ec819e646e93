"""What the steps of a run need and share: each found where it is there already, and made where it is not."""

import random
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from apps.core.artifacts import folder_digest, local_folder
from apps.core.errors import ApplicationError
from apps.evaluation.reading import validation_value
from apps.experiments import rows
from apps.experiments.engine.prompts import Demonstration
from apps.experiments.models import Candidate, Dataset, DatasetVersion, Experiment, PromptVersion
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.models import LanguageModel
from apps.providers.services import language_model_create
from apps.workspace.engine.addresses import FIELDS, read_labelled
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.plan import prompt_spec_of

PLAIN, FEW_SHOT, TUNED = "Base model, plain prompt", "Base model, few-shot prompt", "Fine-tuned model"


class StepFailed(ApplicationError):
    """A job that the quickstart waits for has failed; its own sentence says why."""


def experiment_of(quickstart: ExperimentRun) -> Experiment:
    assert quickstart.experiment is not None
    return quickstart.experiment


def dataset_version_of(quickstart: ExperimentRun) -> DatasetVersion:
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


def base_model_of(quickstart: ExperimentRun) -> LanguageModel:
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


def prompt_ensure(
    quickstart: ExperimentRun, name: str, text: dict[str, Any], demonstrations: tuple[Demonstration, ...] = ()
) -> PromptVersion:
    return prompt_version_create(
        actor=quickstart.actor,
        team=quickstart.team,
        name=f"{quickstart.definition.get('prompt_name', 'Addresses')}: {name.replace('_', '-')}",
        spec=prompt_spec_of(text, demonstrations),
        demonstrations_from=dataset_version_of(quickstart),
        columns=dataset_version_of(quickstart).columns,
    )


def few_shot_prompt_ensure(quickstart: ExperimentRun, seed: int) -> PromptVersion:
    text = quickstart.definition["prompts"]["few_shot"]
    train = sorted(rows.train_rows(dataset_version_of(quickstart)), key=lambda row: row.id)
    drawn = random.Random(seed).sample(train, text["k"])  # noqa: S311 - a recorded draw, not a secret
    shown = tuple(Demonstration(row.id, row.input, row.expected, dict(row.columns)) for row in drawn)
    return prompt_ensure(quickstart, "few_shot", text, shown)


def draw_name(seed: int) -> str:
    return f"{FEW_SHOT}, draw {seed}"


def chosen_draw(experiment: Experiment, seeds: list[int]) -> int:
    """The draw with the highest primary metric on its validation sample; the first among equals."""
    evaluations = {evaluation.candidate.name: evaluation for evaluation in experiment.evaluations.all()}
    return max(seeds, key=lambda seed: (validation_value(evaluations[draw_name(seed)]), -seeds.index(seed)))


def candidate_ensure(
    quickstart: ExperimentRun,
    *,
    name: str,
    kind: str,
    model: LanguageModel,
    prompt: PromptVersion | None,
    trial: bool = False,
) -> Candidate:
    experiment = experiment_of(quickstart)
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
