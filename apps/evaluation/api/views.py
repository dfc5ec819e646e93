"""Experiments with their figures and reports, and evaluations, to read."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.core.access import fetch_for_user
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.evaluation.api.serializers import EvaluationSerializer, ExperimentSerializer
from apps.evaluation.models import Evaluation
from apps.evaluation.selectors import evaluations, leaderboard_document, report_document
from apps.experiments import selectors
from apps.experiments.models import Experiment


def experiment_data(request: Request, found: Experiment) -> Any:
    """One experiment as the API answers it."""
    context = {
        "candidates": selectors.contenders(found),
        "report_url": request.build_absolute_uri(reverse("api_experiment_report", args=[found.uid])),
    }
    return ExperimentSerializer(found, context=context).data


def experiment_for(request: Request, uid: Any, action: str = "view") -> Experiment:
    """One experiment, wherever it lives: its uid names the team too. With the team's header, only there."""
    return selectors.experiment(user=request.user, uid=uid, action=action, **scope(request))


@documented("experiment", method="GET", answer=ExperimentSerializer, refusals=[404], tag="experiments")
@api_view(["GET"])
def experiment(request: Request, uid: UUID) -> Response:
    """One experiment: its definition, its candidates, and its conclusion once there is one."""
    return Response(experiment_data(request, experiment_for(request, uid)))


@documented("experiment_leaderboard", method="GET", answer=OpenApiTypes.OBJECT, refusals=[404], tag="experiments")
@api_view(["GET"])
def leaderboard(request: Request, uid: UUID) -> Response:
    """The figures as far as evaluations have ended: the report without examples and outputs; empty before the first."""
    return Response(leaderboard_document(experiment_for(request, uid)))


@documented("experiment_report", method="GET", answer=OpenApiTypes.OBJECT, refusals=[404], tag="experiments")
@api_view(["GET"])
def report(request: Request, uid: UUID) -> Response:
    """The finished experiment's report, as it was stored (llmopt.report/1)."""
    return Response(report_document(experiment_for(request, uid)))


@documented("evaluations", method="GET", answer=EvaluationSerializer, paged=True, tag="evaluations")
@api_view(["GET"])
def evaluation_list(request: Request) -> Response:
    """The team's evaluations on validation and test rows, newest first."""
    return page(request, evaluations(user=request.user, team=team_for(request)), EvaluationSerializer)


@documented("evaluation", method="GET", answer=EvaluationSerializer, refusals=[404], tag="evaluations")
@api_view(["GET"])
def evaluation(request: Request, uid: UUID) -> Response:
    """One evaluation and how far it is."""
    found = fetch_for_user(Evaluation, request.user, uid=uid, **scope(request, "experiment__team"))
    return Response(EvaluationSerializer(found).data)
