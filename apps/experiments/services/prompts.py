"""Creating prompts and their immutable versions."""

from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, translated
from apps.experiments import rows
from apps.experiments.engine.prompts import Demonstration, PromptError, PromptSpec, render_messages
from apps.experiments.models import DatasetVersion, Prompt, PromptVersion


def prompt_version_create(
    *, actor: Any, team: Any, name: str, spec: PromptSpec, demonstrations_from: DatasetVersion | None = None
) -> PromptVersion:
    """The version of the prompt `name` that says exactly `spec`; made if there is none yet.

    Demonstrations must be training rows of `demonstrations_from`, word for word: a shown test or validation row, also
    one under a training row's id, would be a leak.
    """
    require(team, actor, "edit")
    if demonstrations_from is not None and demonstrations_from.owning_team_id != team.pk:
        raise ApplicationError(_("The demonstrations must come from a dataset of the prompt's team."))
    _check(spec, demonstrations_from)
    with transaction.atomic():
        prompt, _created = Prompt.objects.get_or_create(team=team, name=name)
        Prompt.objects.select_for_update().get(pk=prompt.pk)
        existing = prompt.versions.filter(content_hash=spec.digest()).first()
        if existing is not None:
            return existing
        last = prompt.versions.aggregate(last=Max("number"))["last"] or 0
        version: PromptVersion = PromptVersion.objects.create(
            prompt=prompt, number=last + 1, content_hash=spec.digest(), **spec.as_json()
        )
        audit.record(actor=actor, verb="prompt_version.created", target=version, name=name, number=version.number)
    return version


def _check(spec: PromptSpec, dataset_version: DatasetVersion | None) -> None:
    try:
        render_messages(spec, "an input")
    except PromptError as error:
        raise ApplicationError(translated(error), code="prompt_invalid", field="messages") from error
    if not spec.demonstrations:
        return
    train = rows.train_rows(dataset_version) if dataset_version is not None else ()
    known = {Demonstration(id=row.id, input=row.input, expected=row.expected) for row in train}
    strangers = [shown.id for shown in spec.demonstrations if shown not in known]
    if strangers:
        raise ApplicationError(
            _("Demonstrations must be training rows; %(ids)s are not.") % {"ids": ", ".join(strangers)},
            code="demonstration_not_train",
            field="demonstrations",
        )
