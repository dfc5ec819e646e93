"""Test examples with what every candidate answered."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.pages import page_number, render_page
from apps.evaluation import selectors
from apps.evaluation.figures import metric_label
from apps.evaluation.views.frame import fetch, frame
from apps.experiments.selectors import contenders

PAGE_SIZE = 10
_WRONG = "wrong:"


@require_safe
@team_page("view")
def output_list(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = fetch(request, team, uid)
    show = request.GET.get("show", "all")
    which, candidate = ("candidate", show.removeprefix(_WRONG)) if show.startswith(_WRONG) else (show, "")
    number = page_number(request)
    examples, count = selectors.answered_examples(
        found, which=which, candidate=candidate, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE
    )
    paginator: Paginator[Any] = Paginator(range(count), PAGE_SIZE)
    context = frame(team, found, "experiment_outputs") | {
        "page_obj": Page(examples, number, paginator),
        "show": show,
        "choices": [
            ("all", _("All examples")),
            ("disagree", _("Candidates disagree")),
            ("wrong", _("Every candidate is wrong")),
            *(
                (f"{_WRONG}{one.name}", _("%(candidate)s is wrong") % {"candidate": one.name})
                for one in contenders(found)
            ),
        ],
        "primary_label": metric_label(found.primary_metric, found.answer),
    }
    return render_page(request, "experiments/experiment_outputs.html", context)


@require_safe
@team_page("view")
def output(request: HttpRequest, team: Team, uid: str, example: str) -> HttpResponse:
    """One test example across all candidates."""
    found = fetch(request, team, uid)
    answered = selectors.answered_example(found, example)
    before, after = selectors.neighbours(found, example)
    context = frame(team, found, "experiment_outputs") | {
        "answered": answered,
        "before": before,
        "after": after,
        "primary_label": metric_label(found.primary_metric, found.answer),
    }
    context["crumbs"] = [
        *context["crumbs"],
        {"label": found.name, "url": reverse("experiment", args=[team.slug, found.uid])},
        {"label": _("Outputs"), "url": reverse("experiment_outputs", args=[team.slug, found.uid])},
    ]
    return render_page(request, "experiments/experiment_output.html", context)
