"""Evaluations of a team, whatever experiment they belong to."""

from typing import Any

from django.db.models import QuerySet

from apps.evaluation.models import Evaluation


def evaluations(*, user: Any, team: Any) -> QuerySet[Evaluation]:
    found = Evaluation.objects.for_user(user).filter(experiment__team=team)
    return found.select_related("experiment", "candidate")
