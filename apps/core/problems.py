"""RFC 9457 problem documents: the one shape of an error in the REST API."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from apps.core.errors import ApplicationError

log = logging.getLogger(__name__)


def problem(status: int, code: str, title: str, **more: Any) -> Response:
    body = {"type": f"urn:llmopt:problem:{code}", "title": title, "status": status, "code": code, **more}
    return Response(body, status=status, content_type="application/problem+json")


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None lets Django answer 500, which the edge logs with its reference."""
    if isinstance(error, ApplicationError):
        return problem(error.status, error.code, error.message, **({"field": error.field} if error.field else {}))
    if isinstance(error, Http404):
        return problem(404, "not_found", _("There is no such thing here."))
    if isinstance(error, PermissionDenied):
        return problem(403, "forbidden", _("Your role in this team does not allow this."))
    if isinstance(error, exceptions.ValidationError):
        return problem(400, "invalid", _("The request does not have the right shape."), errors=error.detail)
    if isinstance(error, exceptions.APIException):
        code = error.get_codes()
        return problem(error.status_code, code if isinstance(code, str) else "invalid", str(error.detail))
    return None
