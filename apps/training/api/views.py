"""Fine-tuning by REST: measure, start, follow, stop. Errors have the same words as on the pages."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.accounts.models import Team
from apps.core import jobs
from apps.core.api.once import once
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.training import planning, runlist, selectors
from apps.training.api.serializers import (
    CheckpointSerializer,
    EventsQuery,
    EventsSerializer,
    FineTuneSerializer,
    PreflightSerializer,
    StartSerializer,
    TrainingRunSerializer,
)
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import PRESETS, Planned, limits_of, spec_of
from apps.training.services.preflights import plan_start, preflight_accept, preflight_request
from apps.training.services.prompts import input_alone_prompt

TAG = "fine-tune"


@documented(
    "fine_tunes", says="The team's runs, newest first.", method="GET", answer=TrainingRunSerializer, paged=True, tag=TAG
)
@documented(
    "fine_tune",
    says="Start a run in the team of its dataset version, unmeasured. Its rows are checked all the same.",
    method="POST",
    answer=TrainingRunSerializer,
    status=201,
    request=FineTuneSerializer,
    refusals=[404, 409],
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def fine_tune(request: Request) -> Response:
    """The team's runs, newest first. Or start one in the team of its dataset version, without measuring it first."""
    if request.method != "POST":
        found = runlist.training_runs(user=request.user, team=team_for(request)).select_related("team")
        return page(request, found, TrainingRunSerializer)
    team, plan, name = _plan(request)
    return _started(request, plan_start(actor=request.user, team=team, plan=plan, name=name))


@documented(
    "fine_tune_preflight_create",
    method="POST",
    answer=PreflightSerializer,
    status=202,
    request=FineTuneSerializer,
    refusals=[404, 409],
    tag=TAG,
)
@api_view(["POST"])
@once
def preflights(request: Request) -> Response:
    """Measure what a run would take, by real steps. The same plan again gives the preflight that measured it."""
    team, plan, _name = _plan(request)
    made = preflight_request(actor=request.user, team=team, plan=plan)
    headers = {"Location": request.build_absolute_uri(reverse("api_preflight", args=[made.uid]))}
    return Response(_preflight_data(made), status=202, headers=headers)


@documented("fine_tune_preflight", method="GET", answer=PreflightSerializer, refusals=[404], tag=TAG)
@api_view(["GET"])
def preflight(request: Request, uid: UUID) -> Response:
    """One preflight: what was measured, and why the run may not start if it may not."""
    return Response(_preflight_data(_preflight(request, uid)))


@documented(
    "fine_tune_preflight_start",
    method="POST",
    answer=TrainingRunSerializer,
    status=201,
    request=StartSerializer,
    refusals=[404, 409],
    tag=TAG,
)
@api_view(["POST"])
@once
def preflight_start(request: Request, uid: UUID) -> Response:
    """Start exactly the run that was measured. 409 while it is not measured yet, 400 when it is refused."""
    given = StartSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    name = given.validated_data["name"]
    return _started(request, preflight_accept(actor=request.user, preflight=_preflight(request, uid), name=name))


@documented("fine_tune_run", method="GET", answer=TrainingRunSerializer, refusals=[404], tag=TAG)
@api_view(["GET"])
def run(request: Request, uid: UUID) -> Response:
    """One run, wherever it lives: its uid names the team too."""
    return Response(TrainingRunSerializer(_run(request, uid)).data)


@documented("fine_tune_events", method="GET", answer=EventsSerializer, query=EventsQuery, refusals=[404], tag=TAG)
@api_view(["GET"])
def events(request: Request, uid: UUID) -> Response:
    """What the engine has reported after `?after=`, in order, and what to ask for next."""
    run = _run(request, uid)
    found, following = selectors.engine_events(run, after=EventsQuery.asked(request)["after"])
    return Response({"events": found, "next": following})


@documented("fine_tune_checkpoints", method="GET", answer=CheckpointSerializer, paged=True, refusals=[404], tag=TAG)
@api_view(["GET"])
def checkpoints(request: Request, uid: UUID) -> Response:
    """The states that are kept, first step first."""
    return page(request, _run(request, uid).checkpoints.all(), CheckpointSerializer, ordering="step")


@documented("fine_tune_cancel", method="POST", answer=TrainingRunSerializer, refusals=[404, 409], tag=TAG)
@api_view(["POST"])
@once
def cancel(request: Request, uid: UUID) -> Response:
    """Stop the run at its next step; what it has saved is kept. 409 when it has ended."""
    return _changed(request, uid, jobs.job_cancel)


@documented("fine_tune_pause", method="POST", answer=TrainingRunSerializer, refusals=[404, 409], tag=TAG)
@api_view(["POST"])
@once
def pause(request: Request, uid: UUID) -> Response:
    """Save and stop, so that it can go on later. 409 unless it waits or runs."""
    return _changed(request, uid, jobs.job_pause)


@documented("fine_tune_resume", method="POST", answer=TrainingRunSerializer, refusals=[404, 409], tag=TAG)
@api_view(["POST"])
@once
def resume(request: Request, uid: UUID) -> Response:
    """Queue a paused, failed or cancelled run again; it goes on from its last checkpoint. 409 in any other state."""
    return _changed(request, uid, jobs.job_resume)


def _plan(request: Request) -> tuple[Team, Planned, str]:
    """The team, the plan that the body describes, and the name of its run. What is another team's is not found."""
    form = FineTuneSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    given = form.validated_data
    parts = planning.api_parts(user=request.user, data=given)
    assert parts.dataset_version is not None
    assert parts.base_model is not None
    team = parts.dataset_version.dataset.team
    prompt = parts.prompt_version or input_alone_prompt(actor=request.user, team=team)
    preset = PRESETS[given["preset"]]
    most = given.get("max_examples", preset.max_examples)
    limits = limits_of(
        max_examples=most if most < parts.dataset_version.train_count else 0,
        max_seconds=round(60 * given.get("max_minutes", 0)),
        leave_out_long=given["leave_out_long"],
    )
    spec = {**spec_of(given["method"], preset, parts.base_model), **given["spec"]}
    return team, Planned(parts.base_model, parts.dataset_version, prompt, spec, limits), given["name"]


def _started(request: Request, made: TrainingRun) -> Response:
    headers = {"Location": request.build_absolute_uri(reverse("api_fine_tune_run", args=[made.uid]))}
    return Response(TrainingRunSerializer(made).data, status=201, headers=headers)


def _changed(request: Request, uid: UUID, change: Any) -> Response:
    change(actor=request.user, row=_run(request, uid))
    return Response(TrainingRunSerializer(_run(request, uid)).data)


def _run(request: Request, uid: Any) -> TrainingRun:
    return selectors.training_run(user=request.user, uid=uid, **scope(request))


def _preflight(request: Request, uid: Any) -> Preflight:
    return planning.preflight(user=request.user, uid=uid, **scope(request))


def _preflight_data(row: Preflight) -> Any:
    return PreflightSerializer(row, context={"facts": planning.preflight_facts(row)}).data
