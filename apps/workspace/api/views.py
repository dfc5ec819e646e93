"""Making an experiment by REST: definition, candidates, validation, final test, clone."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import team_for
from apps.core.api.once import once
from apps.core.api.paging import PageQuery, neighbours, page, place
from apps.core.api.schema import documented
from apps.core.formats import NANO
from apps.evaluation.api.serializers import (
    CandidateSerializer,
    ExperimentRowSerializer,
    ExperimentSerializer,
    require_metrics,
)
from apps.evaluation.api.views import experiment_data, experiment_for
from apps.evaluation.engine.metrics import scoring_for
from apps.experiments import selectors as experiment_selectors
from apps.experiments.models import Experiment
from apps.experiments.services.candidates import candidate_remove, experiment_reference_set
from apps.experiments.services.versions import experiment_clone
from apps.workspace.api.serializers import (
    ActivityPageSerializer,
    CandidatesCreateSerializer,
    CloneSerializer,
    ExperimentCreateSerializer,
    ReferenceSerializer,
    RunSerializer,
    ValidationSerializer,
)
from apps.workspace.selectors import candidates as selectors
from apps.workspace.selectors.activity import experiment_activity
from apps.workspace.services import drafts

TAG = "experiments"


@documented(
    "experiments",
    says="The team's experiments, newest first.",
    method="GET",
    answer=ExperimentRowSerializer,
    paged=True,
    tag=TAG,
)
@documented(
    "experiment_create",
    says="A new experiment without candidates, on a dataset version.",
    method="POST",
    answer=ExperimentSerializer,
    status=201,
    request=ExperimentCreateSerializer,
    refusals=[404],
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def experiments(request: Request) -> Response:
    """The team's experiments, newest first; or a new one without candidates, on a dataset version."""
    if request.method != "POST":
        team = team_for(request)
        return page(request, experiment_selectors.experiments(user=request.user, team=team), ExperimentRowSerializer)
    team = team_for(request, "edit")
    values = _checked(ExperimentCreateSerializer, request)
    version = experiment_selectors.dataset_version_by_uid(
        user=request.user, team=team, uid=values.pop("dataset_version")
    )
    require_metrics(version.answer, values.get("metrics", []))
    values.setdefault("primary_metric", scoring_for(version.answer).primary)
    budget = values.pop("budget_usd", None)
    nanousd = int(budget * NANO) if budget is not None else None
    made = drafts.draft_create(actor=request.user, team=team, dataset_version=version, budget_nanousd=nanousd, **values)
    return _created(request, made)


@documented(
    "candidates",
    says="What the experiment compares, in the order of its page.",
    method="GET",
    answer=CandidateSerializer,
    paged=True,
    refusals=[404],
    tag=TAG,
)
@documented(
    "candidates_create",
    says="Every model with every prompt version, and free baselines. Those that are new are answered.",
    method="POST",
    answer=CandidateSerializer(many=True),
    status=201,
    request=CandidatesCreateSerializer,
    refusals=[404, 409],
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def candidates(request: Request, uid: UUID) -> Response:
    """What the experiment compares; or more of it. What is a candidate already is left as it is."""
    if request.method != "POST":
        rows = experiment_selectors.contender_rows(experiment_for(request, uid))
        return page(request, rows, CandidateSerializer, ordering="position")
    found = experiment_for(request, uid, "edit")
    values = _checked(CandidatesCreateSerializer, request)
    possible = dict(selectors.baseline_choices(found.answer))
    unknown = [name for name in values["baselines"] if name not in possible]
    if unknown:
        said = _("%(names)s: no baseline for these answers. Choose from %(known)s.") % {
            "names": ", ".join(unknown),
            "known": ", ".join(possible),
        }
        raise ValidationError({"baselines": [said]})
    made = drafts.candidates_add(
        actor=request.user,
        experiment=found,
        models=[str(uid) for uid in values["models"]],
        prompts=selectors.prompts_named(user=request.user, team=found.team, uids=values["prompts"]),
        baselines=values["baselines"],
        max_tokens=values.get("max_tokens") or selectors.suggested_max_tokens(found.dataset_version),
        temperature=values["temperature"],
    )
    return Response(CandidateSerializer(made, many=True).data, status=201)


@documented("candidate_take_back", method="DELETE", answer=None, status=204, refusals=[404, 409], tag=TAG)
@api_view(["DELETE"])
@once
def candidate(request: Request, uid: UUID, candidate: UUID) -> Response:
    """Take back a candidate that nothing was run for. 409 once it was tried on validation or is frozen."""
    found = experiment_for(request, uid, "edit")
    row = selectors.candidate_for(user=request.user, experiment=found, uid=candidate)
    candidate_remove(actor=request.user, candidate=row)
    return Response(status=204)


@documented(
    "experiment_reference", method="PUT", answer=ExperimentSerializer, request=ReferenceSerializer, refusals=[404, 409],
    tag=TAG,
)  # fmt: skip
@api_view(["PUT"])
@once
def reference(request: Request, uid: UUID) -> Response:
    """Name the candidate that all others are compared with."""
    found = experiment_for(request, uid, "edit")
    wanted = _checked(ReferenceSerializer, request)["candidate"]
    row = selectors.candidate_for(user=request.user, experiment=found, uid=wanted)
    experiment_reference_set(actor=request.user, experiment=found, reference=row)
    return Response(experiment_data(request, experiment_for(request, uid)))


@documented(
    "experiment_validate", method="POST", answer=ValidationSerializer, status=202, refusals=[404, 409], tag=TAG
)  # fmt: skip
@api_view(["POST"])
@once
def validate(request: Request, uid: UUID) -> Response:
    """Try every candidate whose model is ready on validation rows, where it was not yet."""
    started = drafts.validation_start(actor=request.user, experiment=experiment_for(request, uid, "edit"))
    return Response(ValidationSerializer({"started": started}).data, status=202)


@documented("experiment_final_test", method="POST", answer=RunSerializer, status=202, refusals=[404, 409], tag=TAG)
@api_view(["POST"])
@once
def final_test(request: Request, uid: UUID) -> Response:
    """Freeze the candidates and score them on the locked test rows. The job of it is answered."""
    found = experiment_for(request, uid, "edit")
    run = drafts.final_test_start(actor=request.user, experiment=found)
    location = request.build_absolute_uri(reverse("api_experiment_run", args=[run.uid]))
    return Response(RunSerializer(run).data, status=202, headers={"Location": location})


@documented(
    "experiment_clone", method="POST", answer=ExperimentSerializer, status=201, request=CloneSerializer,
    refusals=[404, 409], tag=TAG,
)  # fmt: skip
@api_view(["POST"])
@once
def clone(request: Request, uid: UUID) -> Response:
    """The next version of the question: a draft with the same definition and candidates."""
    found = experiment_for(request, uid, "edit")
    fresh = _checked(CloneSerializer, request)["fresh_test_set"]
    copy = drafts.fresh_test_clone if fresh else experiment_clone
    return _created(request, copy(actor=request.user, experiment=found))


@documented(
    "experiment_activity", method="GET", answer=ActivityPageSerializer, refusals=[404], query=PageQuery, tag=TAG
)
@api_view(["GET"])
def activity(request: Request, uid: UUID) -> Response:
    """What happened to the experiment, its candidates and its evaluations, in words, newest first."""
    found = experiment_activity(user=request.user, experiment=experiment_for(request, uid))
    offset, limit = place(request)
    shown = found[offset : offset + limit]
    around = neighbours(request, offset=offset, limit=limit, shown=len(shown), total=len(found))
    return Response(ActivityPageSerializer({**around, "results": shown}).data)


def _checked(shape: Any, request: Request) -> dict[str, Any]:
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _created(request: Request, made: Experiment) -> Response:
    return Response(experiment_data(request, made), status=201, headers={"Location": _address(request, made)})


def _address(request: Request, found: Experiment) -> str:
    return request.build_absolute_uri(reverse("api_experiment", args=[found.uid]))
