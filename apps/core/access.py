"""Fetching one row for a person, and asking whether a person may change one."""

from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model
from django.utils.translation import gettext as _

from apps.core.errors import NotAllowed, NotFound

M = TypeVar("M", bound=Model)


def fetch_for_user(model: type[M], user: Any, action: str = "view", **lookup: Any) -> M:
    """The row that `lookup` names. NotFound when `user` cannot see it, NotAllowed when only the role is missing."""
    manager: Any = model._default_manager
    try:
        row: M = manager.for_user(user, action).get(**lookup)
    except ValidationError:
        # What was asked for is no id at all, so it names nothing.
        raise _not_found(model) from None
    except ObjectDoesNotExist:
        if action != "belong" and manager.for_user(user, "belong").filter(**lookup).exists():
            raise NotAllowed(_("Your role in this team does not allow this.")) from None
        raise _not_found(model) from None
    return row


def _not_found(model: type[Model]) -> NotFound:
    return NotFound(_("There is no such %(thing)s here.") % {"thing": model._meta.verbose_name})


def require(row: Any, user: Any, action: str) -> None:
    """Raise NotAllowed unless `user` may perform `action` on `row`. `user` None is the system itself.

    An operator (superuser) may as well: they reach other teams' rows in the admin alone, since `fetch_for_user` knows
    no such exception. Their API keys open what their role in the team does.
    """
    if user is None or (user.is_superuser and user.is_active and user.through_key is None):
        return
    if not type(row)._default_manager.for_user(user, action).filter(pk=row.pk).exists():
        raise NotAllowed(_("Your role in this team does not allow this."))
