"""Small middleware of the whole product."""

import uuid
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.core.errors import ApplicationError

GetResponse = Callable[[HttpRequest], HttpResponse]


def request_id(get_response: GetResponse) -> GetResponse:
    """Give each request the id that the edge gave it, or a new one; errors and logs name it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.request_id = request.headers.get("X-Request-Id") or uuid.uuid4().hex  # type: ignore[attr-defined]
        response = get_response(request)
        response.setdefault("X-Request-Id", request.request_id)  # type: ignore[attr-defined]
        return response

    return middleware


def admin_content_security_policy(get_response: GetResponse) -> GetResponse:
    """/admin/ has a policy of its own: its theme needs what the rest of the product forbids (docs/security.md)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.path.startswith("/admin/"):
            response._csp_update = settings.ADMIN_CONTENT_SECURITY_POLICY  # type: ignore[attr-defined]
        return response

    return middleware


def application_errors(get_response: GetResponse) -> GetResponse:
    """Show an expected failure that no form caught as a page that says it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    def process_exception(request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, ApplicationError) or isinstance(error, Http404 | PermissionDenied):
            return None
        return render(request, "error.html", {"message": error.message, "status": error.status}, status=error.status)

    middleware.process_exception = process_exception  # type: ignore[attr-defined]
    return middleware
