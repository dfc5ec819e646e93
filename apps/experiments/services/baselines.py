"""Free baselines as models: fitted on the training rows of one dataset version and stored like any other artefact."""

import json
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.access import require
from apps.core.artifacts import put_bytes
from apps.core.errors import ApplicationError
from apps.experiments import rows
from apps.experiments.models import DatasetVersion
from apps.providers.engine import baselines
from apps.providers.models import LanguageModel
from apps.providers.services import language_model_create

# As a model and a candidate are called, in English wherever they are stored; forms translate them.
NAMES = {
    baselines.MOST_FREQUENT: gettext_noop("Most frequent answer"),
    baselines.NEAREST: gettext_noop("Nearest training example"),
    baselines.TOKEN_LOOKUP: gettext_noop("Token lookup"),
    baselines.TFIDF_LOGISTIC: gettext_noop("Logistic regression on words"),
    baselines.FIRST_SENTENCE: gettext_noop("First sentence"),
}


def baseline_model(*, actor: Any, team: Any, dataset_version: DatasetVersion, method: str) -> LanguageModel:
    """The baseline `method` fitted on this version's training rows; fitted now if it was not before.

    It must be one of `baselines_for` what the version's answers are.
    """
    require(team, actor, "edit")
    if dataset_version.owning_team_id != team.pk:
        raise ApplicationError(_("The dataset must belong to the model's team."), field="dataset_version")
    if method not in baselines.baselines_for(dataset_version.answer):
        raise ApplicationError(_("This baseline does not fit what the answers of the dataset are."), field="method")
    served_name = f"baseline:{method}:{dataset_version.content_hash[:16]}"
    existing = LanguageModel.objects.filter(team=team, served_name=served_name).first()
    if existing is not None:
        return existing
    pairs = [(row.input, row.expected) for row in rows.train_rows(dataset_version)]
    artefact = _fit(method, pairs, dataset_version)
    data = json.dumps(artefact, sort_keys=True, ensure_ascii=False).encode()
    name = put_bytes(f"baselines/{dataset_version.content_hash}/{method}.json", data)
    return language_model_create(
        actor=actor,
        team=team,
        name=NAMES[method],
        kind=LanguageModel.Kind.BASELINE,
        served_name=served_name,
        state=LanguageModel.State.READY,
        revision=dataset_version.content_hash[:16],
        artifact=name,
        facts={"dataset": dataset_version.content_hash, "rows": len(pairs), "method": method},
    )


def _fit(method: str, pairs: list[tuple[str, str]], dataset_version: DatasetVersion) -> baselines.Artefact:
    try:
        return baselines.fit(method, pairs, dataset_version.answer)
    except ValueError as error:
        raise ApplicationError(
            _("The baseline %(name)s cannot be fitted to %(dataset)s: %(reason)s.")
            % {"name": NAMES[method], "dataset": dataset_version, "reason": error}
        ) from error
