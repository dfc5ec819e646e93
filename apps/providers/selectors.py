"""Reads of models."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.access import fetch_for_user
from apps.providers.models import LanguageModel


def language_models(*, user: Any, team: Any) -> QuerySet[LanguageModel]:
    """Models of a team, newest first."""
    return LanguageModel.objects.for_user(user).filter(team=team)


def language_model(*, user: Any, team: Any, uid: Any) -> LanguageModel:
    return fetch_for_user(LanguageModel, user, team=team, uid=uid)


def where_it_runs(model: LanguageModel) -> str:
    """The process that answers for a model, in words."""
    if model.kind == LanguageModel.Kind.BASELINE:
        return _("Computed directly, without a model")
    if model.kind == LanguageModel.Kind.COMMERCIAL:
        return _("At its provider")
    backend = str(model.facts.get("backend", ""))
    if backend:
        return _("Inference process, %(backend)s") % {"backend": backend}
    return _("Inference process on this machine")
