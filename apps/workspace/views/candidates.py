"""The candidates of an experiment: chosen here, tried on validation, frozen by the final test."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.evaluation.figures import metric_label
from apps.evaluation.views.frame import fetch, frame
from apps.experiments import selectors as experiment_selectors
from apps.experiments.models import Experiment
from apps.experiments.services.candidates import candidate_remove, experiment_reference_set
from apps.experiments.services.experiments import experiment_notes_set
from apps.workspace.forms.experiments import CandidatesForm, NotesForm
from apps.workspace.selectors import candidates as selectors
from apps.workspace.selectors.activity import experiment_activity
from apps.workspace.selectors.model_choices import choices_of, possible_values
from apps.workspace.services import drafts
from apps.workspace.views.away import away_for_a_model, kept_choices


@require_safe
@team_page("view")
def candidates(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = fetch(request, team, uid)
    return _page(request, team, found)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def candidates_new(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Models × prompts as checkboxes."""
    found = _editable(request, team, uid)
    if "away" in request.POST:
        return redirect(away_for_a_model(request, team))
    models = choices_of(user=request.user, team=team)
    choices = {
        "models": possible_values(models),
        "prompts": selectors.prompt_choices(user=request.user, team=team),
        "baselines": selectors.baseline_choices(found.answer),
    }
    if request.method == "POST":
        form = CandidatesForm(request.POST, **choices)
        if form.is_valid() and _added(request, team, found, form):
            return redirect("experiment_candidates", team=team.slug, uid=found.uid)
    else:
        initial = {
            "max_tokens": selectors.suggested_max_tokens(found.dataset_version),
            "temperature": 0,
            "baselines": [method for method, _label in choices["baselines"]],
            **kept_choices(request.GET, CandidatesForm),
        }
        form = CandidatesForm(initial=initial, **choices)
    context = {
        "form": form,
        "experiment": found,
        "choices": choices,
        "unavailable": [choice for choice in models if not choice.possible],
        "crumbs": [
            {"label": _("Experiments"), "url": reverse("experiments", args=[team.slug])},
            {"label": found.name, "url": reverse("experiment_candidates", args=[team.slug, found.uid])},
        ],
    }
    return render_page(request, "workspace/candidates_new.html", context, status=422 if form.is_bound else 200)


def _added(request: HttpRequest, team: Team, found: Experiment, form: CandidatesForm) -> bool:
    """Whether the candidates were added; else the form says why not."""
    values = form.cleaned_data
    user: Any = request.user
    try:
        drafts.candidates_add(
            actor=user,
            experiment=found,
            models=values.get("models", []),
            prompts=selectors.prompts_named(user=user, team=team, uids=values.get("prompts", [])),
            baselines=values.get("baselines", []),
            max_tokens=values["max_tokens"],
            temperature=values["temperature"],
        )
    except ApplicationError as error:
        refuse_in_form(form, error)
        return False
    return True


@require_POST
@team_page("edit")
def candidate_take_back(request: HttpRequest, team: Team, uid: str, candidate: str) -> HttpResponse:
    found = _editable(request, team, uid)
    row = selectors.candidate_for(user=request.user, experiment=found, uid=candidate)
    return _pressed(request, team, found, lambda: candidate_remove(actor=request.user, candidate=row), "")


@require_POST
@team_page("edit")
def reference(request: HttpRequest, team: Team, uid: str, candidate: str) -> HttpResponse:
    found = _editable(request, team, uid)
    row = selectors.candidate_for(user=request.user, experiment=found, uid=candidate)
    return _pressed(
        request,
        team,
        found,
        lambda: experiment_reference_set(actor=request.user, experiment=found, reference=row),
        _("All others will be compared with %(name)s.") % {"name": row.name},
    )


@require_POST
@team_page("edit")
def validate(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Try on validation what was not tried yet."""
    found = _editable(request, team, uid)

    def start() -> str:
        count = drafts.validation_start(actor=request.user, experiment=found)
        return ngettext(
            "%(n)d candidate is tried on validation.", "%(n)d candidates are tried on validation.", count
        ) % {"n": count}

    return _pressed(request, team, found, start, "")


@require_POST
@team_page("edit")
def final_test(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Freeze and score. The page of the answer follows it."""
    found = _editable(request, team, uid)
    try:
        drafts.final_test_start(actor=request.user, experiment=found)
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect("experiment_candidates", team=team.slug, uid=found.uid)
    return redirect("experiment", team=team.slug, uid=found.uid)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def notes(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Owner, notes and what happened. Whoever may edit writes the notes, at any time."""
    found = fetch(request, team, uid)
    form = NotesForm(initial={"notes": found.notes})
    if request.method == "POST":
        form = NotesForm(request.POST)
        if form.is_valid():
            experiment_notes_set(actor=request.user, experiment=found, notes=form.cleaned_data["notes"])
            messages.success(request, _("The notes are saved."))
            return redirect("experiment_notes", team=team.slug, uid=found.uid)
    context = frame(team, found, "experiment_notes") | {
        "form": form,
        "may_edit": may(user=request.user, team=team, action="edit"),
        "activity": experiment_activity(user=request.user, experiment=found),
        "activity_columns": [{"label": _("When")}, {"label": _("What")}],
    }
    return render_page(request, "workspace/experiment_notes.html", context, status=422 if form.is_bound else 200)


def _editable(request: HttpRequest, team: Team, uid: str) -> Experiment:
    return experiment_selectors.experiment(user=request.user, team=team, uid=uid, action="edit")


def _pressed(request: HttpRequest, team: Team, found: Experiment, change: Any, said: str) -> HttpResponse:
    """Do what a button asks for, say what came of it, and show the candidates again."""
    try:
        answer = change()
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        if answer or said:
            messages.success(request, answer or said)
    return redirect("experiment_candidates", team=team.slug, uid=found.uid)


def _page(request: HttpRequest, team: Team, found: Experiment) -> HttpResponse:
    facts = selectors.draft_facts(found)
    context = frame(team, found, "experiment_candidates") | {
        "facts": facts,
        "may_edit": may(user=request.user, team=team, action="edit"),
        "primary_label": metric_label(found.primary_metric, found.answer),
        "columns": _columns(found, facts),
    }
    return render_page(request, "workspace/candidates.html", context, parts=("rows",))


def _columns(found: Experiment, facts: selectors.DraftFacts) -> list[dict[str, Any]]:
    """What was estimated and may be pressed is of use only until the candidates are frozen."""
    metric = metric_label(found.primary_metric, found.answer)
    columns: list[dict[str, Any]] = [
        {"label": _("Candidate")},
        {"label": _("Validation: %(metric)s") % {"metric": metric}, "numeric": True},
        {"label": _("n"), "numeric": True},
        {"label": _("Tried")},
    ]
    if facts.draft:
        columns += [
            {"label": _("Final test, estimated"), "numeric": True},
            {"label": _("Actions"), "hidden_label": True},
        ]
    return columns
