"""Reads of datasets, prompts and experiments."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from apps.core.access import fetch_for_user
from apps.core.artifacts import local_folder
from apps.core.errors import NotFound
from apps.core.jobs import ENDED
from apps.experiments import rows
from apps.experiments.engine.intake.measures import Measures
from apps.experiments.engine.prompts import PromptSpec, spec_from_json
from apps.experiments.engine.rows import Example
from apps.experiments.models import (
    Candidate,
    Dataset,
    DatasetImport,
    DatasetVersion,
    Experiment,
    PromptLabel,
    PromptVersion,
    Upload,
)

# Of a test set that is drawn anew: with fewer, a comparison shows nothing.
LEAST_TEST_ROWS = 50


def datasets(*, user: Any, team: Any) -> QuerySet[Dataset]:
    return Dataset.objects.for_user(user).filter(team=team).prefetch_related("versions")


def dataset_version(*, user: Any, team: Any, uid: Any, number: int, action: str = "view") -> DatasetVersion:
    return fetch_for_user(DatasetVersion, user, action, dataset__team=team, dataset__uid=uid, number=number)


def dataset_versions(*, user: Any, team: Any) -> QuerySet[DatasetVersion]:
    """Every version of the team's datasets, newest first."""
    found = DatasetVersion.objects.for_user(user).filter(dataset__team=team)
    return found.select_related("dataset").order_by("-id")


def dataset_version_by_uid(*, user: Any, team: Any, uid: Any) -> DatasetVersion:
    return fetch_for_user(DatasetVersion, user, dataset__team=team, uid=uid)


def latest_dataset_version(*, user: Any, team: Any, uid: Any) -> DatasetVersion:
    """The newest version of a dataset; NotFound while it has none."""
    dataset = fetch_for_user(Dataset, user, team=team, uid=uid)
    latest = dataset.versions.order_by("-number").first()
    if latest is None:
        raise NotFound(_("This dataset has no version yet."))
    return latest


def versions_of(*, user: Any, dataset: Dataset) -> QuerySet[DatasetVersion]:
    """Every version of a dataset, newest first, with how it was made."""
    found = DatasetVersion.objects.for_user(user).filter(dataset=dataset)
    return found.select_related("created_by", "parent__dataset").order_by("-number")


def uses_of(*, user: Any, dataset: Dataset) -> QuerySet[Experiment]:
    """Experiments on any version of a dataset, newest first."""
    return Experiment.objects.for_user(user).filter(dataset_version__dataset=dataset).select_related("dataset_version")


def depending_on(versions: QuerySet[Any]) -> list[str]:
    """What refers to any of these versions from outside their own parts, counted and named: "2 training runs".

    Other apps' rows are found by their relations, since this app knows none of them.
    """
    own = {DatasetImport, DatasetVersion, PromptLabel}
    found = []
    for relation in versions.model._meta.related_objects:
        model: Any = relation.related_model
        count = 0 if model in own else model.objects.filter(**{f"{relation.field.name}__in": versions}).count()
        if count:
            name = model._meta.verbose_name if count == 1 else model._meta.verbose_name_plural
            found.append(f"{count} {name}")
    return found


def dataset_depending(dataset: Dataset) -> list[str]:
    """What keeps a dataset from being deleted, in words; nothing when it can be."""
    versions = DatasetVersion.objects.filter(dataset=dataset)
    elsewhere = DatasetVersion.objects.filter(parent__in=versions).exclude(dataset=dataset).select_related("dataset")
    imports = DatasetImport.objects.filter(Q(dataset=dataset) | Q(dataset_version__in=versions))
    under_way = imports.exclude(status__in=ENDED).exists()
    return [
        *depending_on(versions),
        *(_("the version %(name)s") % {"name": version} for version in elsewhere),
        *([_("an import that has not ended")] if under_way else []),
    ]


def visible_row(version: DatasetVersion, row_id: str) -> Example:
    """A row of train or validation; NotFound for any other, and for a test row."""
    found = rows.row_by_id(version, row_id)
    if found is None:
        raise NotFound(_("There is no such row in train or validation. Test rows are not shown."))
    return found


def version_figures(version: DatasetVersion) -> dict[str, Any]:
    """Lengths, labels and what looks like personal data, as the version keeps them; counted now if it keeps none."""
    if "lengths" in version.facts:
        return dict(version.facts)
    return _counted(str(version.uid), version.content_hash)


@lru_cache(maxsize=32)
def _counted(uid: str, _content_hash: str) -> dict[str, Any]:
    version = DatasetVersion.objects.get(uid=uid)
    measures = Measures(answer=version.answer)
    with rows.open_file(version) as file:
        for number in range(file.num_row_groups):
            measures.take(file.read_row_group(number))
    return measures.as_json()


def fresh_test_fits(version: DatasetVersion) -> bool:
    """Whether rows that are no test rows may give a fresh test set; the service counts exactly, and says why not."""
    unseen = version.train_count + version.validation_count
    return unseen * version.dataset.test_percent // 100 >= LEAST_TEST_ROWS


def import_of(*, user: Any, version: DatasetVersion) -> DatasetImport | None:
    """The import that a version was made of; None for one made otherwise."""
    return DatasetImport.objects.for_user(user).filter(dataset_version=version).first()


def dataset(*, user: Any, team: Any, uid: Any, action: str = "view") -> Dataset:
    return fetch_for_user(Dataset, user, action, team=team, uid=uid)


def upload(*, user: Any, team: Any, uid: Any, action: str = "view") -> Upload:
    return fetch_for_user(Upload, user, action, team=team, uid=uid)


def dataset_import(*, user: Any, team: Any, uid: Any, action: str = "view") -> DatasetImport:
    return fetch_for_user(DatasetImport, user, action, team=team, uid=uid)


def dataset_choices(*, user: Any, team: Any) -> list[tuple[str, str]]:
    """Public id and name of each dataset that a person may add to."""
    found = Dataset.objects.for_user(user, "edit").filter(team=team).order_by("name")
    return [(str(uid), name) for uid, name in found.values_list("uid", "name")]


def staged_problems(dataset_import: DatasetImport) -> Path:
    """The file that lists every problem of an import; NotFound while nothing is staged."""
    if not dataset_import.staged:
        raise NotFound(_("The rows of this import have not been checked yet."))
    return local_folder(dataset_import.staged) / "problems.csv"


def imports_of(*, user: Any, upload: Upload) -> QuerySet[DatasetImport]:
    """Imports of a file, newest first."""
    return DatasetImport.objects.for_user(user).filter(upload=upload)


def experiments_on(*, user: Any, version: DatasetVersion) -> QuerySet[Experiment]:
    """Experiments that use a version, newest first."""
    return Experiment.objects.for_user(user).filter(dataset_version=version)


def experiments(*, user: Any, team: Any) -> QuerySet[Experiment]:
    found = Experiment.objects.for_user(user).filter(team=team).select_related("dataset_version__dataset", "reference")
    return found.annotate(candidate_count=Count("candidates", distinct=True))


def experiment(*, user: Any, uid: Any, team: Any = None, action: str = "view") -> Experiment:
    """One experiment by its public id; with `team`, only there."""
    lookup = {"uid": uid, **({"team": team} if team is not None else {})}
    return fetch_for_user(Experiment, user, action, **lookup)


def contender_rows(experiment: Experiment) -> QuerySet[Candidate]:
    """The candidates that the final test compares, reference included, in the order of the page."""
    return experiment.candidates.filter(trial=False).select_related("language_model", "prompt_version__prompt")


def contenders(experiment: Experiment) -> list[Candidate]:
    """The same, fetched."""
    return list(contender_rows(experiment))


def prompt_spec(version: PromptVersion) -> PromptSpec:
    """What the version says, as the engines take it."""
    return spec_from_json(version.messages, version.demonstrations)
