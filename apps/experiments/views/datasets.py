"""Datasets: the list, and what concerns one as a whole."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.experiments import selectors
from apps.experiments.forms import DatasetForm
from apps.experiments.models import Dataset
from apps.experiments.services import datasets

PAGE_SIZE = 50


@require_safe
@team_page("view")
def dataset_list(request: HttpRequest, team: Team) -> HttpResponse:
    page = Paginator(selectors.datasets(user=request.user, team=team), PAGE_SIZE).get_page(request.GET.get("page"))
    columns = [
        {"label": _("Name")},
        {"label": _("Version"), "numeric": True},
        {"label": _("Rows"), "numeric": True},
        {"label": _("Train"), "numeric": True},
        {"label": _("Validation"), "numeric": True},
        {"label": _("Test"), "numeric": True},
        {"label": _("Licence")},
        {"label": _("Added")},
    ]
    context = {"page_obj": page, "columns": columns, "may_edit": may(user=request.user, team=team, action="edit")}
    return render_page(request, "experiments/datasets.html", context)


@require_safe
@team_page("view")
def dataset(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The newest version is the dataset's page."""
    version = selectors.latest_dataset_version(user=request.user, team=team, uid=uid)
    return redirect("dataset_version", team=team.slug, uid=uid, number=version.number)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def dataset_settings(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Its name, and deleting it."""
    found = selectors.dataset(user=request.user, team=team, uid=uid, action="edit")
    if request.method != "POST":
        return _settings_page(request, team, found, DatasetForm(initial={"name": found.name}))
    form = DatasetForm(request.POST)
    if not form.is_valid():
        return _settings_page(request, team, found, form, status=422)
    try:
        datasets.dataset_rename(actor=request.user, dataset=found, name=form.cleaned_data["name"])
    except ApplicationError as error:
        refuse_in_form(form, error)
        return _settings_page(request, team, found, form, status=422)
    messages.success(request, _("The dataset is now called %(name)s.") % {"name": found.name})
    return redirect("dataset", team=team.slug, uid=uid)


def _settings_page(
    request: HttpRequest, team: Team, found: Dataset, form: DatasetForm, status: int = 200
) -> HttpResponse:
    context: dict[str, Any] = {
        "dataset": found,
        "form": form,
        "uses": selectors.uses_of(user=request.user, dataset=found),
        "depending": selectors.dataset_depending(found),
        "use_columns": [{"label": _("Experiment")}, {"label": _("Version"), "numeric": True}, {"label": _("State")}],
        "crumbs": [
            {"label": _("Datasets"), "url": reverse("datasets", args=[team.slug])},
            {"label": found.name, "url": reverse("dataset", args=[team.slug, found.uid])},
        ],
    }
    return render_page(request, "experiments/dataset_settings.html", context, status=status)


@require_POST
@team_page("view")
def dataset_delete(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Delete it with its versions, unless something depends on one."""
    found = selectors.dataset(user=request.user, team=team, uid=uid, action="edit")
    name = found.name
    try:
        datasets.dataset_delete(actor=request.user, dataset=found)
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect("dataset_settings", team=team.slug, uid=uid)
    messages.success(request, _("The dataset %(name)s was deleted.") % {"name": name})
    return redirect("datasets", team=team.slug)
