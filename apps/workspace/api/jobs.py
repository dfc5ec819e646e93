"""Every job of a team by REST: what it does, what became of it, and stopping it or letting it go on."""

from typing import Any
from uuid import UUID

from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import team_for, team_named
from apps.accounts.selectors import role_in
from apps.core import jobs
from apps.core.api.once import once
from apps.core.api.paging import neighbours, place
from apps.core.api.schema import documented
from apps.core.models import JobModel
from apps.workspace import selectors
from apps.workspace.api.serializers import JobPageSerializer, JobQuery, JobSerializer
from apps.workspace.selectors.jobs import job_kinds, job_row

TAG = "jobs"


@documented("jobs", method="GET", answer=JobPageSerializer, query=JobQuery, tag=TAG)
@api_view(["GET"])
def job_list(request: Request) -> Response:
    """The team's jobs of every kind: those that run first, then those that wait, then the newest."""
    team = team_for(request)
    offset, limit = place(request)
    asked = JobQuery.asked(request)
    rows, count = selectors.jobs_page(
        user=request.user,
        team=team,
        role=role_in(user=request.user, team=team),
        kind=asked["kind"],
        state=asked["state"],
        offset=offset,
        limit=limit,
    )
    around = neighbours(request, offset=offset, limit=limit, shown=len(rows), total=count)
    answer = {**around, "count": count, "kinds": [name for name, _label in job_kinds()], "results": rows}
    return Response(JobPageSerializer(answer, context={"request": request}).data)


@documented("job", method="GET", answer=JobSerializer, refusals=[404], tag=TAG)
@api_view(["GET"])
def job(request: Request, kind: str, uid: UUID) -> Response:
    """One job: how far it is, and when it failed, what was kept and what to do."""
    return _answer(request, _job(request, kind, uid))


@documented("job_cancel", method="POST", answer=JobSerializer, refusals=[404, 409], tag=TAG)
@api_view(["POST"])
@once
def cancel(request: Request, kind: str, uid: UUID) -> Response:
    """Stop a job, and what it has started, at its next step. 409 when it has ended."""
    return _changed(request, kind, uid, jobs.job_cancel)


@documented("job_pause", method="POST", answer=JobSerializer, refusals=[404, 409], tag=TAG)
@api_view(["POST"])
@once
def pause(request: Request, kind: str, uid: UUID) -> Response:
    """Save and stop, so that it can go on later. 409 unless it waits or runs."""
    return _changed(request, kind, uid, jobs.job_pause)


@documented("job_resume", method="POST", answer=JobSerializer, refusals=[404, 409], tag=TAG)
@api_view(["POST"])
@once
def resume(request: Request, kind: str, uid: UUID) -> Response:
    """Go on with a paused job, or try a failed or cancelled one again from what was kept. 409 in any other state."""
    return _changed(request, kind, uid, jobs.job_resume)


def _changed(request: Request, kind: str, uid: UUID, change: Any) -> Response:
    row = _job(request, kind, uid)
    change(actor=request.user, row=row)
    return _answer(request, _job(request, kind, uid))


def _job(request: Request, kind: str, uid: UUID) -> JobModel:
    return selectors.job_for(user=request.user, kind=kind, uid=uid, team=team_named(request))


def _answer(request: Request, row: JobModel) -> Response:
    return Response(JobSerializer(job_row(user=request.user, job=row), context={"request": request}).data)
