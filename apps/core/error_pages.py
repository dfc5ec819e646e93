"""Pages for requests that cannot be answered. Below /api/ the same facts are a problem document."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(
        request, 400, "invalid", _("This request cannot be read"), _("Go back, and try again from the page.")
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = (
        exception.message
        if isinstance(exception, ApplicationError)
        else _("Your role in this team does not allow this.")
    )
    return _answer(request, 403, "forbidden", _("Not allowed"), message)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = _("There is no such page here, or it belongs to a team that you are not in.")
    if isinstance(exception, ApplicationError):
        message = exception.message
    return _answer(request, 404, "not_found", _("Not found"), message)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    message = _("The page was open for a long time, or cookies are switched off. Reload it and send the form again.")
    return _answer(request, 403, "csrf", _("This form is too old"), message)


def server_error(request: HttpRequest) -> HttpResponse:
    """A bug. The page needs neither database nor session, for either may be what failed."""
    title, message = (
        _("Something went wrong on our side"),
        _("What you had saved is kept. Try again; if it happens again, pass on the reference."),
    )
    if request.path.startswith("/api/"):
        return _problem(request, 500, "internal", title)
    context = {"title": title, "message": message, "reference": _reference(request)}
    return HttpResponse(render_to_string("500.html", context), status=500)


def _answer(request: HttpRequest, status: int, code: str, title: str, message: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return _problem(request, status, code, title)
    return render(
        request, f"{'csrf' if code == 'csrf' else status}.html", {"title": title, "message": message}, status=status
    )


def _problem(request: HttpRequest, status: int, code: str, title: str) -> HttpResponse:
    body: dict[str, Any] = {"type": f"urn:llmopt:problem:{code}", "title": title, "status": status, "code": code}
    body["request_id"] = _reference(request)
    return HttpResponse(json.dumps(body), status=status, content_type="application/problem+json")


def _reference(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))
