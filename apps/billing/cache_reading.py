"""What the response cache holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q, Sum, TextField
from django.db.models.functions import Cast, Length
from django.utils import timezone

from apps.accounts.models import Team
from apps.billing.models import CachedResponse
from apps.core.access import fetch_for_user
from apps.providers.models import LanguageModel


@dataclass(frozen=True, slots=True)
class Stored:
    """Answers that can still be given. `size_bytes` is the length of their text as JSON, about what they take."""

    model: LanguageModel | None
    answers: int
    size_bytes: int
    oldest: datetime | None


def stored_answers(team: Team) -> tuple[Stored, list[Stored]]:
    """All of a team's stored answers, and those of each model, the largest first."""
    alive = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    rows = list(
        CachedResponse.objects.filter(alive, team=team)
        .order_by()
        .values("language_model")
        .annotate(answers=Count("id"), size=Sum(Length(Cast("result", TextField()))), oldest=Min("created_at"))
    )
    models = LanguageModel.objects.in_bulk([row["language_model"] for row in rows if row["language_model"]])
    parts = [
        Stored(models.get(row["language_model"]), row["answers"], int(row["size"] or 0), row["oldest"]) for row in rows
    ]
    parts.sort(key=lambda part: -part.size_bytes)
    whole = Stored(
        None,
        sum(part.answers for part in parts),
        sum(part.size_bytes for part in parts),
        min((part.oldest for part in parts if part.oldest), default=None),
    )
    return whole, parts


def model_named(*, user: Any, team: Team, uid: str) -> LanguageModel | None:
    """The model whose answers are meant; None for all. NotFound for what is not in the team."""
    return fetch_for_user(LanguageModel, user, team=team, uid=uid) if uid else None
