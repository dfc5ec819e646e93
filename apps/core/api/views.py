"""Health of the process and of what it depends on. Both answer without a login and tell nothing else."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import health, readiness

READY = {"ready": True, "checks": {"database": {"ok": True, "detail": ""}}}
NOT_READY = {"ready": False, "checks": {"database": {"ok": False, "detail": "The database does not answer."}}}


@extend_schema(
    operation_id="health",
    tags=["health"],
    responses={200: OpenApiTypes.OBJECT},
    examples=[OpenApiExample("Answer", value={"status": "ok"}, response_only=True)],
)
@api_view(["GET"])
@authentication_classes([])
@permission_classes([AllowAny])
def alive(request: Request) -> Response:
    """200 as long as the process answers."""
    return Response({"status": "ok"})


@extend_schema(
    operation_id="health_ready",
    tags=["health"],
    responses={200: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT},
    examples=[
        OpenApiExample("Answer", value=READY, response_only=True, status_codes=["200"]),
        OpenApiExample("Not ready", value=NOT_READY, response_only=True, status_codes=["503"]),
    ],
)
@api_view(["GET"])
@authentication_classes([])
@permission_classes([AllowAny])
def ready(request: Request) -> Response:
    """200 when database, cache, queue and storage answer; 503 says which does not, and why."""
    checks = readiness.remembered(health.readiness)
    ok = all(check.ok for check in checks)
    body = {"ready": ok, "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}}
    return Response(body, status=200 if ok else 503)
