"""A team's home, its jobs, and how far a run is."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import safe_next, team_page
from apps.accounts.selectors import role_in
from apps.core import jobs
from apps.core.errors import Conflict
from apps.core.job_actions import pressed_text
from apps.core.pages import page_number, render_page
from apps.core.roles import roles_for
from apps.workspace import selectors
from apps.workspace.selectors.jobs import job_kinds
from apps.workspace.told import tell_from, told_up_to

PAGE_SIZE = 50
ACTIONS = {"cancel": jobs.job_cancel, "pause": jobs.job_pause, "resume": jobs.job_resume}


@require_safe
@team_page("belong")
def home(request: HttpRequest, team: Team) -> HttpResponse:
    role = role_in(user=request.user, team=team)
    if role not in roles_for("view"):
        return render_page(request, "workspace/home_rater.html", {})
    facts = selectors.home_facts(user=request.user, team=team, role=role)
    context = {"facts": facts, "activity_columns": [{"label": _("When")}, {"label": _("What")}]}
    return render_page(request, "workspace/home.html", context, parts=("jobs",))


@require_safe
@team_page("view")
def job_list(request: HttpRequest, team: Team) -> HttpResponse:
    number = page_number(request)
    role = role_in(user=request.user, team=team)
    kind, state = request.GET.get("kind", ""), request.GET.get("state", "")
    rows, count = selectors.jobs_page(
        user=request.user,
        team=team,
        role=role,
        kind=kind,
        state=state,
        offset=(number - 1) * PAGE_SIZE,
        limit=PAGE_SIZE,
    )
    page: Page[selectors.JobRow] = Page(rows, number, Paginator(range(count), PAGE_SIZE))  # type: ignore[arg-type]
    query = request.GET.copy()
    query["part"] = "rows"
    context = {
        "page_obj": page,
        "columns": _columns(),
        "kinds": [("", _("All kinds")), *job_kinds()],
        "kind": kind,
        "states": [("", _("All states")), ("active", _("Running or waiting")), ("ended", _("Ended"))],
        "state": state,
        "filtered": bool(kind or state),
        "may_edit": role in roles_for("edit"),
        "refresh": query.urlencode(),
    }
    return render_page(request, "workspace/jobs.html", context, parts=("rows",))


@require_safe
@team_page("view")
def notices(request: HttpRequest, team: Team) -> HttpResponse:
    """What has ended since the open page last asked: toasts, and the count in the top bar. 204 while nothing has."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("jobs", team.slug)
    text = request.GET.get("since", "")
    since = int(text) if text.isdecimal() and len(text) < 19 else told_up_to(request, team)
    ended, place = selectors.notices_since(user=request.user, team=team, since=since)
    if place == since:
        return HttpResponse(status=204)
    tell_from(request, team, place)
    # The page that shows the job says by itself that it has ended.
    here = request.htmx.current_url_abs_path or ""  # type: ignore[attr-defined]
    news = [each for each in ended if not each.url or each.url != here.split("?")[0]]
    context = {
        "notices": news[: selectors.AT_MOST],
        "more": max(len(news) - selectors.AT_MOST, 0),
        "jobs": selectors.running_facts(user=request.user, team=team, since=place),
        "money": selectors.money_facts(team),
    }
    return render(request, "workspace/notices.html", context)


def _columns() -> list[dict[str, Any]]:
    return [
        {"label": _("Job")},
        {"label": _("Kind")},
        {"label": _("State")},
        {"label": _("Phase")},
        {"label": _("Done"), "numeric": True},
        {"label": _("Time left"), "numeric": True},
        {"label": _("Last heard")},
        {"label": _("Actions"), "hidden_label": True},
    ]


@require_safe
@team_page("view")
def quickstart_progress(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The quickstart that made an experiment: two parts of the experiment's page, and a page of its own."""
    facts = selectors.progress_facts(user=request.user, team=team, role=role_in(user=request.user, team=team), uid=uid)
    context = {
        "facts": facts,
        "crumbs": [
            {"label": _("Experiments"), "url": reverse("experiments", args=[team.slug])},
            {"label": facts.experiment.name, "url": reverse("experiment", args=[team.slug, uid])},
        ],
    }
    return render_page(request, "workspace/quickstart_progress.html", context, parts=("strip", "job"))


@require_POST
@team_page("view")
def job_change(request: HttpRequest, team: Team, kind: str, uid: str, action: str) -> HttpResponse:
    """Cancel, pause or resume a job, then show the page it was pressed on."""
    row = selectors.job_for(user=request.user, team=team, kind=kind, uid=uid)
    try:
        ACTIONS[action](actor=request.user, row=row)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, pressed_text(row, action))
    return redirect(safe_next(request, reverse("jobs", args=[team.slug])))
