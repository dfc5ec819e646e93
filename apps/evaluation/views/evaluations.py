"""One evaluation: how far it is, and what came out so far."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import role_in
from apps.core.job_actions import job_part
from apps.core.live import topic_of
from apps.core.pages import page_number, render_page
from apps.evaluation import selectors
from apps.evaluation.figures import metric_label

PAGE_SIZE = 25


@require_safe
@team_page("view")
def evaluation(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = selectors.evaluation_for(user=request.user, team=team, uid=uid)
    experiment = found.experiment
    number = page_number(request)
    outputs, count = selectors.evaluation_outputs(found, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    paginator: Paginator[Any] = Paginator(range(count), PAGE_SIZE)
    home = reverse("home", args=[team.slug])
    context = {
        "evaluation": found,
        "experiment": experiment,
        "row": job_part(found, role=role_in(user=request.user, team=team)),
        "page_obj": Page(outputs, number, paginator),
        "columns": [
            {"label": _("Input")},
            {"label": _("Expected")},
            {"label": _("Output")},
            {"label": metric_label(experiment.primary_metric, experiment.answer), "numeric": True},
            {"label": _("Latency"), "unit": "ms", "numeric": True},
            {"label": _("Cost"), "unit": "USD", "numeric": True},
        ],
        "crumbs": [
            {"label": _("Experiments"), "url": reverse("experiments", args=[team.slug])},
            {"label": experiment.name, "url": reverse("experiment", args=[team.slug, experiment.uid])},
        ],
        "topic_url": f"{home}events/?topic={topic_of(found)}&topic={topic_of(experiment)}",
    }
    return render_page(request, "evaluation/evaluation.html", context, parts=("progress", "outputs"))
