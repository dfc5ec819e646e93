"""Use your own data: a whole experiment, proposed for a dataset version, changed as wanted, and started."""

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form
from apps.experiments import selectors as experiment_selectors
from apps.experiments.models import DatasetVersion
from apps.workspace.forms.plan import PlanForm, plan_form
from apps.workspace.quickstart.commercial import models_within_reach
from apps.workspace.selectors import plans as selectors
from apps.workspace.selectors.model_choices import ModelChoice
from apps.workspace.services.plans import plan_start
from apps.workspace.views.away import away_for_a_model, kept_choices


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def plan(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """The proposal; a POST of `estimate` says what a changed one takes, a POST without it runs it."""
    version = experiment_selectors.dataset_version(user=request.user, team=team, uid=uid, number=number)
    if "away" in request.POST:
        return redirect(away_for_a_model(request, team))
    models = selectors.base_choices(user=request.user, team=team)
    given = request.POST if request.method == "POST" else request.GET
    base = _chosen(given, models)
    within_reach = models_within_reach(user=request.user, team=team)
    proposal = selectors.proposal_for(version, base, within_reach)
    form = plan_form(
        version,
        models,
        proposal,
        data=request.POST if request.method == "POST" else None,
        kept=kept_choices(request.GET, PlanForm),
    )
    if request.method == "POST" and form.is_valid() and "estimate" not in request.POST:
        try:
            run = plan_start(
                actor=request.user, version=version, base=form.cleaned_data["base_model"], values=form.plan
            )
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            return redirect("plan_started", team=team.slug, uid=run.uid)
    values = form.cleaned_data if form.is_bound and form.is_valid() else proposal.initial
    context = _context(team, version, form, proposal) | {
        "estimate": selectors.estimate_for(version, base, values, within_reach),
        "unavailable": [choice for choice in models if not choice.possible],
    }
    wrong = bool(form.is_bound and form.errors)
    return render_page(request, "workspace/plan.html", context, parts=("estimate",), status=422 if wrong else 200)


def _chosen(data: QueryDict, models: list[ModelChoice]) -> ModelChoice | None:
    """The base model that the form names, else the first one that is ready: nothing is brought in unasked."""
    named = (choice for choice in models if choice.possible and choice.value == data.get("base_model"))
    return next(named, None) or next((choice for choice in models if choice.ready), None)


def _context(team: Team, version: DatasetVersion, form: PlanForm, proposal: selectors.Proposal) -> dict[str, Any]:
    return {
        "version": version,
        "form": form,
        "proposal": proposal,
        "unfit": list(dict.fromkeys(proposal.unfit.values())),
        "crumbs": [
            {"label": _("Datasets"), "url": reverse("datasets", args=[team.slug])},
            {
                "label": str(version),
                "url": reverse("dataset_version", args=[team.slug, version.dataset.uid, version.number]),
            },
        ],
    }


@require_http_methods(["GET", "HEAD"])
@team_page("view")
def plan_started(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Wait for the experiment that a run makes in its first second, then show it."""
    run = selectors.run_for(user=request.user, team=team, uid=uid)
    if run.experiment is not None:
        address = reverse("experiment", args=[team.slug, run.experiment.uid])
        # A part that is fetched cannot change the address of the page; the whole page goes there.
        return HttpResponseClientRedirect(address) if request.htmx else redirect(address)  # type: ignore[attr-defined]
    return render_page(request, "workspace/plan_started.html", {"run": run})
