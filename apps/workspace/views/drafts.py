"""A new experiment, and a changed one: its definition in a form."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.errors import ApplicationError, Conflict
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.figures import metric_label
from apps.experiments import selectors as experiment_selectors
from apps.experiments.models import DatasetVersion, Experiment
from apps.experiments.services.experiments import experiment_change
from apps.experiments.services.versions import experiment_clone
from apps.workspace.forms.experiments import DefinitionForm
from apps.workspace.selectors import candidates as selectors
from apps.workspace.services.drafts import draft_create, fresh_test_clone


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def experiment_new(request: HttpRequest, team: Team) -> HttpResponse:
    """First the data, by a link; then the question about it."""
    versions = selectors.version_choices(user=request.user, team=team)
    wanted = request.GET.get("dataset_version") or (versions[0][0] if versions else "")
    if not wanted:
        return _page(request, team, versions, None, None)
    version = experiment_selectors.dataset_version_by_uid(user=request.user, team=team, uid=wanted)
    if request.method != "POST":
        return _page(request, team, versions, version, _form(version, initial=_defaults(version)))
    form = _form(version, data=request.POST)
    if form.is_valid():
        try:
            made = draft_create(actor=request.user, team=team, dataset_version=version, **form.definition)
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            return redirect("experiment_candidates", team=team.slug, uid=made.uid)
    return _page(request, team, versions, version, form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def experiment_edit(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The definition of a draft; a registered one is cloned instead."""
    found = experiment_selectors.experiment(user=request.user, team=team, uid=uid, action="edit")
    if found.state != Experiment.State.DRAFT:
        raise Conflict(_("This experiment is registered. Clone it to change its definition."))
    version = found.dataset_version
    fields = ("name", "question", "primary_metric", "metrics", "margin", "alpha")
    form = _form(version, initial={field: getattr(found, field) for field in fields})
    if request.method == "POST":
        form = _form(version, data=request.POST)
        del form.fields["budget"]
        if form.is_valid():
            try:
                changed = {field: form.cleaned_data[field] for field in fields}
                experiment_change(actor=request.user, experiment=found, **changed)
            except ApplicationError as error:
                refuse_in_form(form, error)
            else:
                return redirect("experiment_candidates", team=team.slug, uid=found.uid)
    form.fields.pop("budget", None)
    context = {"form": form, "experiment": found, "crumbs": [*_crumbs(team), _crumb_of(team, found)]}
    return render_page(request, "workspace/experiment_edit.html", context, status=422 if form.is_bound else 200)


@require_POST
@team_page("edit")
def experiment_copy(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Clone with changes: a draft of the next version."""
    found = experiment_selectors.experiment(user=request.user, team=team, uid=uid, action="edit")
    return _copied(request, team, found, experiment_clone)


@require_POST
@team_page("edit")
def experiment_fresh_test(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The next version of the question, on test rows that nobody has seen results of."""
    found = experiment_selectors.experiment(user=request.user, team=team, uid=uid, action="edit")
    return _copied(request, team, found, fresh_test_clone)


def _copied(request: HttpRequest, team: Team, found: Experiment, copy: Callable[..., Experiment]) -> HttpResponse:
    """Show the candidates of the copy; of the experiment itself, with the reason, if there can be none."""
    try:
        shown = copy(actor=request.user, experiment=found)
    except ApplicationError as error:
        refuse_on_page(request, error)
        shown = found
    return redirect("experiment_candidates", team=team.slug, uid=shown.uid)


def _form(version: DatasetVersion, **kwargs: Any) -> DefinitionForm:
    names = scoring_for(version.answer).metrics
    return DefinitionForm(metrics=[(name, _capital(metric_label(name, version.answer))) for name in names], **kwargs)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _defaults(version: DatasetVersion) -> dict[str, Any]:
    return {
        "name": version.dataset.name,
        "question": _("Which model and prompt should we ship for this task, and is a model needed at all?"),
        "primary_metric": scoring_for(version.answer).primary,
    }


def _crumbs(team: Team) -> list[dict[str, str]]:
    return [{"label": _("Experiments"), "url": reverse("experiments", args=[team.slug])}]


def _crumb_of(team: Team, experiment: Experiment) -> dict[str, str]:
    return {"label": experiment.name, "url": reverse("experiment_candidates", args=[team.slug, experiment.uid])}


def _page(
    request: HttpRequest,
    team: Team,
    versions: list[tuple[str, str]],
    version: DatasetVersion | None,
    form: DefinitionForm | None,
    *,
    status: int = 200,
) -> HttpResponse:
    context = {
        "versions": versions,
        "version": version,
        "version_uid": str(version.uid) if version else "",
        "form": form,
        "crumbs": _crumbs(team),
    }
    return render_page(request, "workspace/experiment_new.html", context, status=status)
