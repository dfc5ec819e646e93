"""Adding models, and saying that one is ready or failed."""

from typing import Any

from django.db import transaction

from apps.core import audit, live
from apps.core.access import require
from apps.providers.models import LanguageModel


def language_model_create(
    *,
    actor: Any,
    team: Any,
    name: str,
    kind: str,
    served_name: str,
    state: str = LanguageModel.State.PLANNED,
    revision: str = "",
    artifact: str = "",
    context_length: int = 0,
    note: str = "",
    facts: dict[str, Any] | None = None,
    **of_provider: Any,
) -> LanguageModel:
    """Make a model known to a team. The same served name gives the same model.

    `of_provider`: the columns of a model that runs at a provider (`language_model_add_commercial`).
    """
    with transaction.atomic():
        require(team, actor, "edit")
        model, created = LanguageModel.objects.get_or_create(
            team=team,
            served_name=served_name,
            defaults={
                "name": name,
                "kind": kind,
                "state": state,
                "revision": revision,
                "artifact": artifact,
                "context_length": context_length,
                "note": note,
                "facts": facts or {},
                **of_provider,
            },
        )
        if created:
            audit.record(actor=actor, verb="language_model.created", target=model, name=name, kind=kind)
    return model


def language_model_ready(
    *, actor: Any, model: LanguageModel, revision: str, artifact: str, context_length: int, facts: dict[str, Any]
) -> bool:
    """Freeze what produced a planned model and make it usable. False when it was ready already."""
    with transaction.atomic():
        require(model, actor, "edit")
        changed = bool(
            LanguageModel.objects.filter(
                pk=model.pk, state__in=[LanguageModel.State.PLANNED, LanguageModel.State.FAILED]
            ).update(
                state=LanguageModel.State.READY,
                revision=revision,
                artifact=artifact,
                context_length=context_length,
                facts=facts,
                error="",
            )
        )
        if changed:
            model.refresh_from_db()
            audit.record(actor=actor, verb="language_model.ready", target=model, revision=revision)
            live.publish(model, "status")
    return changed


def language_model_planned_again(*, actor: Any, model: LanguageModel) -> None:
    """Take back that a model did not come about: it is being made again."""
    with transaction.atomic():
        require(model, actor, "edit")
        if LanguageModel.objects.filter(pk=model.pk, state=LanguageModel.State.FAILED).update(
            state=LanguageModel.State.PLANNED, error=""
        ):
            audit.record(actor=actor, verb="language_model.planned_again", target=model)
            live.publish(model, "status")


def language_model_failed(*, actor: Any, model: LanguageModel, error: str) -> None:
    """Say why a planned model did not come about. Trying again makes it ready later."""
    with transaction.atomic():
        require(model, actor, "edit")
        if LanguageModel.objects.filter(pk=model.pk, state=LanguageModel.State.PLANNED).update(
            state=LanguageModel.State.FAILED, error=error
        ):
            audit.record(actor=actor, verb="language_model.failed", target=model, error=error)
            live.publish(model, "status")
