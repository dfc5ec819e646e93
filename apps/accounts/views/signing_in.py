"""Signing in and out."""

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.forms import SignInForm
from apps.accounts.pages import safe_next, signed_in
from apps.accounts.selectors import teams_of
from apps.accounts.services import people
from apps.core.errors import ApplicationError

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
# What prints a link that signs in, where there are such links: on one machine.
LOGIN_COMMAND = "make login"


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """E-mail and password."""
    target = safe_next(request, "start")
    if request.method != "POST":
        if request.user.is_authenticated:
            return redirect(target)
        return _sign_in_page(request, SignInForm(), target)
    form = SignInForm(request.POST)
    if not form.is_valid():
        return _sign_in_page(request, form, target, status=422)
    values = form.cleaned_data
    user = authenticate(request, username=values["email"].lower(), password=values["password"])
    if user is None:
        locked = getattr(request, "axes_locked_out", False)
        form.add_error(
            None, _locked_text() if locked else _("This e-mail address and password do not belong together.")
        )
        return _sign_in_page(request, form, target, status=429 if locked else 422)
    login(request, user)
    people.password_sign_in_record(actor=user)
    return redirect(target)


def _locked_text() -> str:
    return _("There were ten wrong tries in a row. Wait 15 minutes, then try again.")


def _sign_in_page(request: HttpRequest, form: SignInForm, target: str, status: int = 200) -> HttpResponse:
    context = {"form": form, "next": target, "login_command": _login_command()}
    return render(request, "accounts/sign_in.html", context, status=status)


def _login_command() -> str:
    return LOGIN_COMMAND if settings.EMBEDDED else ""


def locked_out(request: HttpRequest, response: HttpResponse, credentials: dict[str, Any] | None) -> HttpResponse:
    """What the lockout middleware sends: the page as the view drew it, which says how long to wait."""
    return response


@never_cache
@require_http_methods(["GET"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A printed link signs in on the click itself (docs/security.md says why that is safe here)."""
    before = request.user if request.user.is_authenticated else None
    try:
        user = people.sign_in_link_use(actor=before, token=token)
    except ApplicationError as error:
        context = {"message": error.message, "login_command": _login_command()}
        return render(request, "accounts/link_spent.html", context, status=410)
    login(request, user, backend=MODEL_BACKEND)
    return redirect(safe_next(request, "start"))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("sign_in")


@require_safe
@signed_in
def start(request: HttpRequest) -> HttpResponse:
    """The person's only team, or a list to choose from."""
    teams = list(teams_of(request.user))
    if len(teams) == 1:
        return redirect("home", team=teams[0].slug)
    columns = [{"label": _("Team")}, {"label": _("Time zone")}]
    return render(request, "accounts/start.html", {"teams": teams, "columns": columns})
