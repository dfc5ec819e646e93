"""Which role may do what. One table, asked by every read and every write."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    EDITOR = "editor", _("Editor")
    VIEWER = "viewer", _("Viewer")
    RATER = "rater", _("Rater")


ACTIONS: dict[str, frozenset[str]] = {
    "view": frozenset({Role.OWNER, Role.ADMIN, Role.EDITOR, Role.VIEWER}),
    "edit": frozenset({Role.OWNER, Role.ADMIN, Role.EDITOR}),
    "manage": frozenset({Role.OWNER, Role.ADMIN}),
    "own": frozenset({Role.OWNER}),
    "rate": frozenset(Role.values),
    "belong": frozenset(Role.values),
}


def roles_for(action: str) -> frozenset[str]:
    """Roles that may perform `action`; KeyError for an action that nobody defined."""
    return ACTIONS[action]
