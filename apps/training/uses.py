"""Which training a dataset or a prompt is used by: runs, and checks of runs that were never started."""

from typing import Any

from django.db.models import QuerySet

from apps.training.models import Preflight, TrainingRun


def runs_with(*, user: Any, **lookup: Any) -> QuerySet[TrainingRun]:
    """Runs on what `lookup` names, newest first."""
    related = ("base_model", "language_model", "dataset_version__dataset", "prompt_version__prompt")
    return TrainingRun.objects.for_user(user).filter(**lookup).select_related(*related)


def checks_with(*, user: Any, **lookup: Any) -> QuerySet[Preflight]:
    """Checks before a run on what `lookup` names that no run followed, newest first."""
    related = ("base_model", "dataset_version__dataset", "prompt_version__prompt")
    return Preflight.objects.for_user(user).filter(runs=None, **lookup).select_related(*related)
