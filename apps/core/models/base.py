"""Public ids and team scope."""

import uuid
from typing import Any, Self

import uuid_utils
from django.contrib.auth.models import AnonymousUser
from django.db import models

from apps.core.roles import roles_for


def new_uid() -> uuid.UUID:
    """A UUIDv7: sorts by time of creation, and tells nothing about how many rows there are."""
    return uuid.UUID(bytes=uuid_utils.uuid7().bytes)


def uid_field() -> "models.UUIDField[Any, Any]":
    return models.UUIDField(default=new_uid, unique=True, editable=False)


class ScopedQuerySet(models.QuerySet[Any]):
    """Rows of teams in which a person may do something."""

    def for_user(self, user: Any, action: str = "view") -> Self:
        """Rows on which `user` may perform `action`. The only way for a page or an API to begin a read.

        Who comes with an API key sees the rows of its team alone.
        """
        if isinstance(user, AnonymousUser) or user is None or not user.is_active:
            return self.none()
        team = self.model.team_path
        prefix = f"{team}__" if team else ""
        allowed = {f"{prefix}memberships__user": user, f"{prefix}memberships__role__in": roles_for(action)}
        key = getattr(user, "through_key", None)
        if key is not None:
            allowed[f"{prefix}memberships__team"] = key.team_id
        return self.filter(**allowed).distinct()


ScopedManager = models.Manager.from_queryset(ScopedQuerySet)


class ScopedModel(models.Model):
    """A row that belongs to a team, directly or through its parent (`team_path`)."""

    team_path = "team"

    uid = uid_field()
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager()

    class Meta:
        abstract = True

    @property
    def owning_team_id(self) -> int:
        value: Any = self
        *parents, last = self.team_path.split("__")
        for name in parents:
            value = getattr(value, name)
        return int(getattr(value, f"{last}_id"))
