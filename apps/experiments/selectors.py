"""Reads of datasets, prompts and experiments."""

from typing import Any

from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _

from apps.core.access import fetch_for_user
from apps.core.errors import NotFound
from apps.experiments.engine.prompts import PromptSpec, spec_from_json
from apps.experiments.models import Candidate, Dataset, DatasetVersion, Experiment, PromptVersion


def datasets(*, user: Any, team: Any) -> QuerySet[Dataset]:
    return Dataset.objects.for_user(user).filter(team=team).prefetch_related("versions")


def dataset_version(*, user: Any, team: Any, uid: Any, number: int) -> DatasetVersion:
    return fetch_for_user(DatasetVersion, user, dataset__team=team, dataset__uid=uid, number=number)


def latest_dataset_version(*, user: Any, team: Any, uid: Any) -> DatasetVersion:
    """The newest version of a dataset; NotFound while it has none."""
    dataset = fetch_for_user(Dataset, user, team=team, uid=uid)
    latest = dataset.versions.order_by("-number").first()
    if latest is None:
        raise NotFound(_("This dataset has no version yet."))
    return latest


def experiments_on(*, user: Any, version: DatasetVersion) -> QuerySet[Experiment]:
    """Experiments that use a version, newest first."""
    return Experiment.objects.for_user(user).filter(dataset_version=version)


def experiments(*, user: Any, team: Any) -> QuerySet[Experiment]:
    rows = Experiment.objects.for_user(user).filter(team=team).select_related("dataset_version__dataset", "reference")
    return rows.annotate(candidate_count=Count("candidates", distinct=True))


def experiment(*, user: Any, uid: Any, team: Any = None, action: str = "view") -> Experiment:
    """One experiment by its public id; with `team`, only there."""
    lookup = {"uid": uid, **({"team": team} if team is not None else {})}
    return fetch_for_user(Experiment, user, action, **lookup)


def contenders(experiment: Experiment) -> list[Candidate]:
    """The candidates that the final test compares, reference included, in the order of the page."""
    return list(experiment.candidates.filter(trial=False).select_related("language_model", "prompt_version__prompt"))


def prompt_spec(version: PromptVersion) -> PromptSpec:
    """What the version says, as the engines take it."""
    return spec_from_json(version.messages, version.demonstrations)
