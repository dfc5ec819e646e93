"""Telling open pages that something changed. A page subscribes to a topic and fetches the named part again."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.core.models import LiveEvent

KEEP = timedelta(hours=1)


def topic_of(row: Any) -> str:
    """`experiment:<uid>`: the topic under which changes of `row` are published."""
    return f"{type(row)._meta.model_name}:{row.uid}"


def publish(row: Any, part: str) -> None:
    """Say that `part` of `row` changed. Inside a transaction it becomes visible with the change itself."""
    LiveEvent.objects.create(team_id=row.owning_team_id, topic=topic_of(row), part=part)


def forget_old() -> int:
    """Delete events that no page can still ask for."""
    return LiveEvent.objects.filter(created_at__lt=timezone.now() - KEEP).delete()[0]
