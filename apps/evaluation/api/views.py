"""Experiments: their definition and notes, their figures and reports; and evaluations, to read."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from rest_framework.decorators import api_view, renderer_classes
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.core.access import fetch_for_user
from apps.core.api.once import once
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.core.api.text import MarkdownRenderer
from apps.evaluation.api.serializers import (
    EvaluationSerializer,
    ExperimentChangeSerializer,
    ExperimentSerializer,
    LookSerializer,
    NotesSerializer,
    require_metrics,
)
from apps.evaluation.models import Evaluation
from apps.evaluation.report_markdown import report_markdown
from apps.evaluation.selectors import evaluations, leaderboard_document, looks_at_test, report_document
from apps.experiments import selectors
from apps.experiments.models import Experiment
from apps.experiments.services.experiments import experiment_change, experiment_notes_set


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


@documented(
    "experiment",
    says="One experiment: its definition, its candidates, and its conclusion once there is one.",
    method="GET",
    answer=ExperimentSerializer,
    refusals=[404],
    tag="experiments",
)
@documented(
    "experiment_change",
    says="Change the definition of a draft; what is left out stays. 409 once it is registered: clone it then.",
    method="PATCH",
    answer=ExperimentSerializer,
    request=ExperimentChangeSerializer,
    refusals=[404, 409],
    tag="experiments",
)
@api_view(["GET", "PATCH"])
@once
def experiment(request: Request, uid: UUID) -> Response:
    """One experiment: its definition, its candidates, and its conclusion once there is one.

    The definition changes while it is a draft; a registered one is cloned instead.
    """
    if request.method != "PATCH":
        return Response(experiment_data(request, experiment_for(request, uid)))
    found = experiment_for(request, uid, "edit")
    given = ExperimentChangeSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    kept = {field: getattr(found, field) for field in given.get_fields()}
    definition = {**kept, **given.validated_data}
    require_metrics(found.answer, definition["metrics"])
    return Response(experiment_data(request, experiment_change(actor=request.user, experiment=found, **definition)))


@documented(
    "experiment_notes",
    method="PUT",
    answer=ExperimentSerializer,
    request=NotesSerializer,
    refusals=[404],
    tag="experiments",
)
@api_view(["PUT"])
@once
def notes(request: Request, uid: UUID) -> Response:
    """Replace the notes. They are no part of the definition, so they may change at any time."""
    found = experiment_for(request, uid, "edit")
    given = NotesSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    experiment_notes_set(actor=request.user, experiment=found, notes=given.validated_data["notes"])
    return Response(experiment_data(request, found))


@documented("experiment_looks", method="GET", answer=LookSerializer, paged=True, refusals=[404], tag="experiments")
@api_view(["GET"])
def looks(request: Request, uid: UUID) -> Response:
    """Every look at the test rows of the experiment's dataset, by which decision, oldest first."""
    return page(request, looks_at_test(experiment_for(request, uid)), LookSerializer, ordering="id")


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


@documented(
    "experiment_report_markdown",
    method="GET",
    answer=OpenApiTypes.STR,
    media="text/markdown",
    refusals=[404],
    tag="experiments",
)
@api_view(["GET"])
@renderer_classes([MarkdownRenderer])
def report_md(request: Request, uid: UUID) -> Response:
    """The finished experiment's report as Markdown."""
    found = experiment_for(request, uid)
    report_document(found)  # not found until it is written
    return Response(report_markdown(found))


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
