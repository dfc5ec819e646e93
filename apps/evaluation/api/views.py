"""Experiments and their reports, to read."""

from uuid import UUID

from django.urls import reverse
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation.api.serializers import ExperimentSerializer
from apps.evaluation.selectors import report_document
from apps.experiments import selectors


@api_view(["GET"])
def experiment(request: Request, uid: UUID) -> Response:
    """One experiment, wherever it lives: its uid names the team too."""
    found = selectors.experiment(user=request.user, uid=uid)
    context = {
        "candidates": selectors.contenders(found),
        "report_url": request.build_absolute_uri(reverse("api_experiment_report", args=[found.uid])),
    }
    return Response(ExperimentSerializer(found, context=context).data)


@api_view(["GET"])
def report(request: Request, uid: UUID) -> Response:
    """The finished experiment's report, as it was stored (llmopt.report/1)."""
    return Response(report_document(selectors.experiment(user=request.user, uid=uid)))
