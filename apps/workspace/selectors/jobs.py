"""Every job of a team, whatever table it lives in, newest work first."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.accounts.selectors import role_in
from apps.core import jobs
from apps.core.access import fetch_for_user
from apps.core.errors import NotFound
from apps.core.job_actions import JobPart, job_part
from apps.core.models import JobModel, JobStatus

ACTIVE = (JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.PAUSED)
# What a row's title and link need, so that a list costs one query per kind.
RELATED = {
    "evaluation.evaluation": ("candidate", "experiment"),
    "training.preflight": ("base_model", "dataset_version__dataset"),
    "providers.modelfetch": ("language_model",),
    "training.trainingrun": (),
    "workspace.experimentrun": ("experiment",),
}
# Jobs that have a page of their own, and the name of its route.
PAGES = {
    "evaluation.evaluation": "evaluation",
    "training.preflight": "training_preflight",
    "training.trainingrun": "training_run",
    "experiments.upload": "upload",
    "experiments.datasetimport": "dataset_import",
}


@dataclass(frozen=True)
class JobRow(JobPart):
    """One job as a list shows it: what it is, where its page is, and what may be pressed now."""

    kind_label: str
    title: str
    url: str

    @property
    def active(self) -> bool:
        return self.job.status in ACTIVE


def jobs_page(
    *, user: Any, team: Team, role: str | None, kind: str = "", state: str = "", offset: int = 0, limit: int = 50
) -> tuple[list[JobRow], int]:
    """Rows `offset` to `offset + limit` of all kinds together, and how many there are. Active ones come first."""
    rows: list[Any] = []
    count = 0
    for query in _queries(user=user, team=team, kind=kind, state=state):
        count += query.count()
        rows.extend(query[: offset + limit])
    rows.sort(key=lambda row: (row.rank, -row.created_at.timestamp(), str(row.uid)))
    return [_row(row, team=team, role=role) for row in rows[offset : offset + limit]], count


def jobs_at_hand(*, user: Any, team: Team, role: str | None, limit: int = 5) -> list[JobRow]:
    """For the home page: what is at work or waits, and what has failed and waits for somebody to press Retry."""
    return jobs_page(user=user, team=team, role=role, state="at_hand", limit=limit)[0]


def running_count(*, user: Any, team: Team) -> int:
    """How many jobs run at this moment."""
    return sum(
        query.filter(status=JobStatus.RUNNING).count() for query in _queries(user=user, team=team, kind="", state="")
    )


def job_for(*, user: Any, kind: str, uid: Any, team: Team | None = None) -> JobModel:
    """One job, so that a service can change it; with `team`, only there. Which role may is the service's question."""
    for candidate in jobs.kinds():
        model = candidate.model_class
        if model._meta.model_name == kind:
            where = {model.team_path: team} if team is not None else {}
            row: JobModel = fetch_for_user(model, user, "view", uid=uid, **where)
            return row
    raise NotFound(_("There is no such job here."))


def job_row(*, user: Any, job: JobModel) -> JobRow:
    """One job as the list shows it."""
    team = fetch_for_user(Team, user, "belong", pk=job.owning_team_id)
    return _row(job, team=team, role=role_in(user=user, team=team))


def job_kinds() -> list[tuple[str, str]]:
    """Kinds of job as choices of a filter."""
    return sorted((_name(kind.model_class), _label(kind.model_class)) for kind in jobs.kinds())


def _queries(*, user: Any, team: Team, kind: str, state: str) -> list[QuerySet[Any]]:
    queries = []
    rank = Case(
        When(status=JobStatus.RUNNING, then=Value(0)),
        When(status__in=(JobStatus.QUEUED, JobStatus.PAUSED), then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    for registered in jobs.kinds():
        model = registered.model_class
        if kind and _name(model) != kind:
            continue
        rows = model._default_manager.for_user(user, "view").filter(**{model.team_path: team})
        rows = rows.exclude(status=JobStatus.PLANNED)
        if state == "active":
            rows = rows.filter(status__in=ACTIVE)
        elif state == "ended":
            rows = rows.exclude(status__in=ACTIVE)
        elif state == "at_hand":
            # The failure of a job is told once: a job that waited for another has failed with it.
            rows = rows.filter(status__in=(*ACTIVE, JobStatus.FAILED) if model.has_parts else ACTIVE)
        related = RELATED.get(model._meta.label_lower, ())
        rows = rows.annotate(rank=rank).order_by("rank", "-created_at", "uid")
        queries.append(rows.select_related(*related) if related else rows)
    return queries


def _name(model: Any) -> str:
    return str(model._meta.model_name)


def _label(model: Any) -> str:
    name = str(model._meta.verbose_name)
    return name[:1].upper() + name[1:]


def _row(job: Any, *, team: Team, role: str | None) -> JobRow:
    return JobRow(
        **vars(job_part(job, role=role)),
        kind_label=_label(type(job)),
        title=job_title(job),
        url=job_url(job, team),
    )


def job_title(job: Any) -> str:
    """What a list calls a job."""
    if job._meta.label_lower == "evaluation.evaluation":
        return _("%(candidate)s on %(split)s") % {"candidate": job.candidate.name, "split": job.get_split_display()}
    if job._meta.label_lower == "workspace.experimentrun":
        return job.experiment.name if job.experiment else _("Experiment run")
    return str(job)


def job_url(job: Any, team: Team) -> str:
    """The page of the object that the job works on; empty while there is none."""
    label = job._meta.label_lower
    if label == "providers.modelfetch":
        return reverse("model", args=[team.slug, job.language_model.uid])
    if label in PAGES:
        return reverse(PAGES[label], args=[team.slug, job.uid])
    return reverse("experiment", args=[team.slug, job.experiment.uid]) if job.experiment is not None else ""
