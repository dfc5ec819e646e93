"""Who may open a page: the decorators that every page of a team starts with."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect

from apps.core.access import require

View = Callable[..., HttpResponse]


def signed_in(view: View) -> View:
    """Send a stranger to the sign-in page and back here afterwards."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        return view(request, *args, **kwargs)

    return page


def team_page(action: str = "view") -> Callable[[View], View]:
    """A page below /t/<team>/, called as `view(request, team: Team, **rest)`.

    A stranger to the team has had a 404 from the middleware; a member whose role lacks `action` gets a 403.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def page(request: HttpRequest, team: str, **kwargs: Any) -> HttpResponse:
            current = request.team  # type: ignore[attr-defined]
            require(current, request.user, action)
            return view(request, current, **kwargs)

        return signed_in(page)

    return decorate


def safe_next(request: HttpRequest, default: str) -> str:
    """The local path that `next` names, else `default`: a link never leads to another site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    secure = request.is_secure()
    if wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=secure):
        return wanted
    return resolve_url(default)


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]
        # A part of a page cannot show the sign-in form; the whole page goes there, and back to itself.
        current = request.htmx.current_url_abs_path or resolve_url("start")  # type: ignore[attr-defined]
        return HttpResponseClientRedirect(redirect_to_login(current).url)
    return redirect_to_login(request.get_full_path())
