"""Where the operators' pages send somebody who is not signed in, or wants another password."""

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.pages import safe_next
from apps.core.errors import NotAllowed


@never_cache
@require_safe
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Operators sign in where everybody does: the admin's own form would leave no audit event."""
    target = safe_next(request, "admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(target)
    if not request.user.is_staff:
        raise NotAllowed(_("These pages are for operators."))
    return redirect(target)


@require_safe
def admin_password(request: HttpRequest) -> HttpResponse:
    """One's own password is changed on the account page, which asks for the current one and leaves an event."""
    return redirect("account")
