"""Aliases of trained versions as names of models: `production`, or `Mail/production` where several tasks have one."""

from apps.providers.names import OtherName
from apps.training.models import ModelVersion


def alias_names(team_id: int) -> list[OtherName]:
    """Every alias of a team. Among the versions of a dataset an alias names one, and datasets differ in their names."""
    versions = ModelVersion.objects.filter(team_id=team_id).exclude(aliases=[])
    rows = versions.values_list("aliases", "run__dataset_version__dataset__name", "language_model_id")
    return [
        OtherName(alias, f"{dataset}/{alias}", model_id) for aliases, dataset, model_id in rows for alias in aliases
    ]
