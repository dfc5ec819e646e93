"""Fine-tuning by REST: start, follow, stop. Errors have the same words as on the pages."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import jobs
from apps.core.api.once import once
from apps.core.api.schema import documented
from apps.training import selectors
from apps.training.api.serializers import CheckpointSerializer, FineTuneSerializer, TrainingRunSerializer
from apps.training.models import TrainingRun
from apps.training.plan import PRESETS, Planned, limits_of, spec_of
from apps.training.planning import api_parts
from apps.training.services.preflights import plan_start

_ACTIONS = {"cancel": jobs.job_cancel, "pause": jobs.job_pause, "resume": jobs.job_resume}


@documented(
    "fine_tune",
    method="POST",
    answer=TrainingRunSerializer,
    status=201,
    request=FineTuneSerializer,
    refusals=[404],
    tag="fine-tune",
)
@api_view(["POST"])
@once
def fine_tune(request: Request) -> Response:
    """Start a run in the team of its dataset version; what is another team's is not found."""
    form = FineTuneSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    given = form.validated_data
    parts = api_parts(user=request.user, data=given)
    assert parts.dataset_version is not None
    assert parts.base_model is not None
    assert parts.prompt_version is not None
    preset = PRESETS[given["preset"]]
    most = given.get("max_examples", preset.max_examples)
    limits = limits_of(
        max_examples=most if most < parts.dataset_version.train_count else 0, leave_out_long=given["leave_out_long"]
    )
    spec = {**spec_of(given["method"], preset, parts.base_model), **given["spec"]}
    plan = Planned(parts.base_model, parts.dataset_version, parts.prompt_version, spec, limits)
    team = parts.dataset_version.dataset.team
    run = plan_start(actor=request.user, team=team, plan=plan, name=given["name"])
    headers = {"Location": request.build_absolute_uri(reverse("api_fine_tune_run", args=[run.uid]))}
    return Response(TrainingRunSerializer(run).data, status=201, headers=headers)


@documented("fine_tune_run", method="GET", answer=TrainingRunSerializer, refusals=[404], tag="fine-tune")
@api_view(["GET"])
def run(request: Request, uid: UUID) -> Response:
    """One run, wherever it lives: its uid names the team too."""
    return Response(TrainingRunSerializer(_run(request, uid)).data)


@documented("fine_tune_events", method="GET", answer=OpenApiTypes.OBJECT, refusals=[404], tag="fine-tune")
@api_view(["GET"])
def events(request: Request, uid: UUID) -> Response:
    """What the engine has reported after `?after=`, in order, and what to ask for next."""
    text = request.query_params.get("after", "0")
    after = int(text) if text.isdecimal() and len(text) < 16 else 0
    found, following = selectors.engine_events(_run(request, uid), after=after)
    return Response({"events": found, "next": following})


@documented("fine_tune_checkpoints", method="GET", answer=OpenApiTypes.OBJECT, refusals=[404], tag="fine-tune")
@api_view(["GET"])
def checkpoints(request: Request, uid: UUID) -> Response:
    """The states that are kept, first step first."""
    return Response({"checkpoints": CheckpointSerializer(_run(request, uid).checkpoints.all(), many=True).data})


# Three routes: each has its name from its path.
@documented("", method="POST", answer=TrainingRunSerializer, refusals=[404, 409], tag="fine-tune")
@api_view(["POST"])
@once
def change(request: Request, uid: UUID, action: str) -> Response:
    """Cancel, pause or resume; 409 when the run's state does not allow it."""
    found = _run(request, uid)
    _ACTIONS[action](actor=request.user, row=found)
    return Response(TrainingRunSerializer(_run(request, uid)).data)


def _run(request: Request, uid: Any) -> TrainingRun:
    return selectors.training_run(user=request.user, uid=uid)
