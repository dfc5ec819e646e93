"""What a form has chosen, with what makes it usable begun in the same act."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from apps.accounts.models import Team
from apps.core import jobs
from apps.core.access import fetch_for_user
from apps.core.artifacts import local_folder
from apps.core.models import JobStatus
from apps.providers.engine.catalogue import known_model
from apps.providers.models import LanguageModel
from apps.providers.services.commercial import language_model_add_commercial
from apps.providers.services.fetches import model_download, model_on_disk_add
from apps.workspace.selectors.model_choices import WRITTEN


def models_use(*, actor: Any, team: Team, values: Sequence[str]) -> list[LanguageModel]:
    """The models that are named, in that order; what is missing of them is downloaded, added, or taken up again.

    `values`: public ids of the team's models, or keys of the written list. NotFound for one that is not this team's.
    Called inside the transaction of what needs the models: a refusal there begins nothing.
    """
    with transaction.atomic():
        return [_used(actor, team, value) for value in values]


def _used(actor: Any, team: Team, value: str) -> LanguageModel:
    if value.startswith(WRITTEN):
        return _written(actor, team, value.removeprefix(WRITTEN))
    model: LanguageModel = fetch_for_user(LanguageModel, actor, team=team, uid=value)
    fetch = getattr(model, "fetch", None)
    if model.state == LanguageModel.State.PLANNED and fetch is not None and fetch.status == JobStatus.PAUSED:
        jobs.job_resume(actor=actor, row=fetch)
    return model


def _written(actor: Any, team: Team, key: str) -> LanguageModel:
    provider, at_a_provider, name = key.partition(":")
    if at_a_provider:
        # What the list offers has a price (tested against the price data); a call without one would be refused anyway.
        return language_model_add_commercial(actor=actor, team=team, provider=provider, provider_model=name)
    known = known_model(key)
    if known is not None and any((local_folder(f"models/{name}") / "hf").is_dir() for name in known.also_served):
        return model_on_disk_add(actor=actor, team=team, key=key)
    model: LanguageModel = model_download(actor=actor, team=team, key=key).language_model
    return model
