"""Who may call a route of the REST API at all; what they may see there is decided by their role in the team."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from apps.core.errors import NotAllowed


class SignedInWithinScope(IsAuthenticated):
    """Somebody is signed in, and a key has a scope that the route declares for the method (apps.core.api.schema).

    A route that declares none is closed to keys, so that one which is added without a thought opens nothing.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        key = getattr(request.user, "through_key", None)
        if key is not None:
            self._check(key.scopes, request, view)
        return True

    def _check(self, scopes: frozenset[str], request: Request, view: Any) -> None:
        enough = scopes_of(view, str(request.method))
        if not enough:
            raise NotAllowed(_("API keys cannot be used for this. Sign in as a person."), code="keys_refused")
        if scopes.isdisjoint(enough):
            message = _("This API key lacks the scope %(scope)s. Make a key that has it.")
            raise NotAllowed(message % {"scope": _(" or ").join(enough)}, code="scope_missing")


def scopes_of(view: Any, method: str) -> tuple[str, ...]:
    """The scopes of which a key needs one for this method of a view (object or class); none: it is closed to keys."""
    method = "GET" if method == "HEAD" else method
    handler = getattr(view, method.lower(), None)
    declared = getattr(view, "key_scopes", None) or getattr(handler, "key_scopes", {})
    return tuple(declared.get(method, ()))
