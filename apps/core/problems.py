"""RFC 9457 problem documents: the one shape of an error in the REST API."""

import logging
import math
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from apps.core.errors import ApplicationError

log = logging.getLogger(__name__)
CHALLENGE = 'Bearer realm="LLMOpt"'


def problem(status: int, code: str, title: str, **more: Any) -> Response:
    body = {"type": f"urn:llmopt:problem:{code}", "title": title, "status": status, "code": code, **more}
    return Response(body, status=status, content_type="application/problem+json")


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None lets Django answer 500, which the edge logs with its reference."""
    response = _problem_of(error)
    if response is not None and response.status_code == 401:
        # RFC 9110 wants it to say how to sign in, RFC 6750 that what was sent is at fault.
        invalid = ', error="invalid_token"' if isinstance(error, exceptions.AuthenticationFailed) else ""
        response["WWW-Authenticate"] = CHALLENGE + invalid
    if response is not None and response.status_code == 429:
        response["Retry-After"] = str(_seconds(error))
    return response


def _seconds(error: Exception) -> int:
    """Until it may be tried again; DRF's own refusal, too, has it as `wait`."""
    return math.ceil(getattr(error, "wait", None) or 1)


def _problem_of(error: Exception) -> Response | None:
    if isinstance(error, ApplicationError):
        return problem(error.status, error.code, error.message, **({"field": error.field} if error.field else {}))
    if isinstance(error, Http404):
        return problem(404, "not_found", _("There is no such thing here."))
    if isinstance(error, PermissionDenied):
        return problem(403, "forbidden", _("Your role in this team does not allow this."))
    if isinstance(error, exceptions.ValidationError):
        return problem(400, "invalid", _("The request does not have the right shape."), errors=error.detail)
    if isinstance(error, exceptions.NotAuthenticated):
        message = _("Send an API key or an access token in the header Authorization: Bearer …, or sign in.")
        return problem(401, "not_authenticated", message)
    if isinstance(error, exceptions.Throttled):
        message = _("Too many requests. Wait %(seconds)d seconds, then go on.")
        return problem(429, "too_many_requests", message % {"seconds": _seconds(error)})
    if isinstance(error, exceptions.APIException):
        code = error.get_codes()
        return problem(error.status_code, code if isinstance(code, str) else "invalid", str(error.detail))
    return None
