"""Models that a run waits for, because they are downloaded or added in the same act that started it."""

from datetime import datetime

from django.db.models import Q

from apps.providers.models import LanguageModel, ModelFetch
from apps.workspace.models import ExperimentRun


def awaited_fetch(model: LanguageModel | None, *, since: datetime) -> ModelFetch | None:
    """The job that brings the model in; None for a model that was there already at that time."""
    fetch = ModelFetch.objects.filter(language_model=model).select_related("language_model").first() if model else None
    if fetch is None:
        return None
    there_before = fetch.finished_at is not None and fetch.finished_at < since
    return None if model is not None and model.state == LanguageModel.State.READY and there_before else fetch


def base_fetch(run: ExperimentRun) -> ModelFetch | None:
    """What brings in the base model that a definition names."""
    uid = run.definition.get("model", {}).get("uid")
    model = LanguageModel.objects.filter(team=run.team_id, uid=uid).first() if uid else None
    return awaited_fetch(model, since=run.created_at)


def fetch_of_step(run: ExperimentRun, name: str) -> ModelFetch | None:
    """What the step of that name waits for, if it waits for a model."""
    if name == "model":
        return base_fetch(run)
    what, _colon, served_as = name.partition(": ")
    of_candidates = Q(language_model__candidates__experiment=run.experiment_id, language_model__name=served_as)
    return ModelFetch.objects.filter(of_candidates).first() if what == "model" else None
