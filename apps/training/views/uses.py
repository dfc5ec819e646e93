"""Training that uses a dataset or a prompt: a part of their pages, and a page of its own."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.pages import render_page
from apps.experiments import prompt_reading
from apps.experiments import selectors as data
from apps.training import uses

PAGE_SIZE = 50


@require_safe
@team_page("view")
def dataset_training(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Training on any version of a dataset."""
    found = data.dataset(user=request.user, team=team, uid=uid)
    crumbs = [
        {"label": _("Datasets"), "url": reverse("datasets", args=[team.slug])},
        {"label": found.name, "url": reverse("dataset", args=[team.slug, uid])},
    ]
    return _page(request, found, crumbs, dataset_version__dataset=found)


@require_safe
@team_page("view")
def dataset_version_training(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    found = data.dataset_version(user=request.user, team=team, uid=uid, number=number)
    crumbs = [
        {"label": _("Datasets"), "url": reverse("datasets", args=[team.slug])},
        {"label": str(found), "url": reverse("dataset_version", args=[team.slug, uid, number])},
    ]
    return _page(request, found, crumbs, dataset_version=found)


@require_safe
@team_page("view")
def prompt_training(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Training with any version of a prompt."""
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid)
    crumbs = [
        {"label": _("Prompts"), "url": reverse("prompts", args=[team.slug])},
        {"label": found.name, "url": reverse("prompt", args=[team.slug, uid])},
    ]
    return _page(request, found, crumbs, prompt_version__prompt=found)


def _page(request: HttpRequest, used: Any, crumbs: list[dict[str, str]], **lookup: Any) -> HttpResponse:
    runs = uses.runs_with(user=request.user, **lookup)
    context = {
        "used": used,
        "crumbs": crumbs,
        "page_obj": Paginator(runs, PAGE_SIZE).get_page(request.GET.get("page")),
        "checks": uses.checks_with(user=request.user, **lookup)[:PAGE_SIZE],
        "run_columns": [{"label": _("Training run")}, {"label": _("Makes")}, *_columns()],
        "check_columns": [{"label": _("Check before a run")}, *_columns()],
    }
    return render_page(request, "training/training_uses.html", context, parts=("panel",))


def _columns() -> list[dict[str, Any]]:
    return [
        {"label": _("Dataset version")},
        {"label": _("Prompt version")},
        {"label": _("State")},
        {"label": _("Made")},
    ]
