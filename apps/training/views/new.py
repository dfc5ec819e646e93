"""A new training run: the form, the preflight beside it, and the start of exactly what was measured."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import role_in
from apps.core.errors import ApplicationError
from apps.core.job_actions import job_part
from apps.core.live import topic_of
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.core.roles import roles_for
from apps.training import planning
from apps.training.forms import RunForm
from apps.training.models import Preflight
from apps.training.plan import METHODS, PRESETS, Planned, in_smaller_passes, limits_of, plan_of
from apps.training.services.preflights import preflight_accept, preflight_request
from apps.training.services.prompts import input_alone_prompt

PARTS = ("panel",)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def training_new(request: HttpRequest, team: Team) -> HttpResponse:
    """The form with what was measured of it. A POST asks for the preflight and shows the same page with it."""
    data = request.POST if request.method == "POST" else request.GET
    parts = planning.plan_parts(user=request.user, team=team, data=data)
    choices = planning.plan_choices(user=request.user, team=team, like=parts.like)
    values = {**_defaults(choices), **{name: data[name] for name in data if name in RunForm.base_fields}}
    if request.method == "POST":
        form = _form(choices, data)
        if form.is_valid():
            try:
                return _check(request, team, parts, form)
            except ApplicationError as error:
                refuse_in_form(form, error)
        return _page(request, team, choices, form, None, values, status=422)
    asked = _form(choices, values)
    plan = None
    if asked.is_valid() and values["prompt_version"] != planning.NEW_PROMPT:
        chosen = planning.plan_parts(user=request.user, team=team, data=values)
        plan = _plan(chosen, asked)
    row = planning.preflight_for_plan(team=team, plan=plan)
    return _page(request, team, choices, _form(choices, initial=values), row, values)


def _form(choices: planning.PlanChoices, data: Any = None, **more: Any) -> RunForm:
    options = {
        "dataset_version": choices.dataset_versions,
        "base_model": choices.base_models,
        "prompt_version": choices.prompt_versions,
        "method": [(key, str(label)) for key, label in METHODS.items()],
        "preset": choices.presets,
    }
    return RunForm(data, choices=options, **more)


def _defaults(choices: planning.PlanChoices) -> dict[str, str]:
    """The first of everything; the input alone where the team has no prompt."""
    return {
        "dataset_version": choices.dataset_versions[0][0] if choices.dataset_versions else "",
        "base_model": choices.base_models[0][0] if choices.base_models else "",
        "prompt_version": choices.prompt_versions[0][0],
        "method": "lora",
        "preset": "balanced",
    }


def _plan(parts: planning.PlanParts, form: RunForm) -> Planned:
    values = form.cleaned_data
    preset = values["preset"]
    most = values["max_examples"] or (PRESETS[preset].max_examples if preset in PRESETS else 0)
    assert parts.base_model is not None
    assert parts.dataset_version is not None
    assert parts.prompt_version is not None
    limits = limits_of(
        # A limit that leaves nothing out is none.
        max_examples=most if most < parts.dataset_version.train_count else 0,
        max_seconds=round(60 * (values["max_minutes"] or 0)),
        leave_out_long=values["leave_out_long"],
    )
    spec = planning.spec_for(parts, method=values["method"], preset=preset)
    if values["rows_a_pass"]:
        spec = in_smaller_passes(spec, int(values["rows_a_pass"]))
    return Planned(parts.base_model, parts.dataset_version, parts.prompt_version, spec, limits)


def _check(request: HttpRequest, team: Team, parts: planning.PlanParts, form: RunForm) -> HttpResponse:
    """Ask for the preflight, and go to the address of this very plan."""
    if parts.prompt_version is None:
        made = input_alone_prompt(actor=request.user, team=team)
        parts = planning.PlanParts(parts.dataset_version, parts.base_model, made, parts.like)
    plan = _plan(parts, form)
    row = preflight_request(actor=request.user, team=team, plan=plan)
    return redirect(_address(team, row, form.cleaned_data))


def _address(team: Team, row: Preflight, values: dict[str, Any]) -> str:
    query = {
        "name": values["name"],
        "dataset_version": row.dataset_version.uid,
        "base_model": row.base_model.uid,
        "prompt_version": row.prompt_version.uid,
        "method": values["method"],
        "preset": values["preset"],
        "max_examples": values["max_examples"] or "",
        "max_minutes": f"{values['max_minutes']:g}" if values["max_minutes"] else "",
        "rows_a_pass": values["rows_a_pass"],
        "leave_out_long": "1" if values["leave_out_long"] else "",
    }
    kept = {name: value for name, value in query.items() if value != ""}
    return f"{reverse('training_new', args=[team.slug])}?{urlencode(kept)}"


def _page(
    request: HttpRequest, team: Team, choices: planning.PlanChoices, form: RunForm, row: Preflight | None,
    values: dict[str, Any], *, status: int = 200,
) -> HttpResponse:  # fmt: skip
    context = {
        "form": form,
        "choices": choices,
        "crumbs": [{"label": _("Training"), "url": reverse("training_runs", args=[team.slug])}],
        **_panel(request, team, row, name=str(values.get("name", ""))),
    }
    return render_page(request, "training/training_new.html", context, parts=PARTS, status=status)


def _panel(request: HttpRequest, team: Team, row: Preflight | None, *, name: str) -> dict[str, Any]:
    if row is None:
        return {"facts": None, "run_name": name}
    return {
        "facts": planning.preflight_facts(row),
        "row": job_part(row, role=role_in(user=request.user, team=team)),
        "run_name": name,
        "may_start": role_in(user=request.user, team=team) in roles_for("edit"),
        "topic_url": f"{reverse('home', args=[team.slug])}events/?topic={topic_of(row)}",
        "step_columns": [
            {"label": _("Percentile")},
            {"label": _("Positions"), "numeric": True},
            {"label": _("Step"), "unit": "s", "numeric": True},
            {"label": _("Memory"), "unit": "MiB", "numeric": True},
        ],
    }


@require_safe
@team_page("view")
def training_preflight(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """What was measured of one plan; a part of the page of a new run, and a page of its own."""
    row = planning.preflight(user=request.user, team=team, uid=uid)
    context = {
        "crumbs": [{"label": _("Training"), "url": reverse("training_runs", args=[team.slug])}],
        "preflight": row,
        **_panel(request, team, row, name=request.GET.get("name", "")[:160]),
    }
    return render_page(request, "training/training_preflight.html", context, parts=PARTS)


@require_POST
@team_page("view")
def preflight_start(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Start the run that was measured."""
    row = planning.preflight(user=request.user, team=team, uid=uid)
    try:
        run = preflight_accept(actor=request.user, preflight=row, name=request.POST.get("name", "")[:160])
    except ApplicationError as error:
        refuse_on_page(request, error)
        name = urlencode({"name": request.POST.get("name", "")[:160]})
        return redirect(f"{reverse('training_preflight', args=[team.slug, row.uid])}?{name}")
    messages.success(request, _("The training run is in the queue."))
    return redirect("training_run", team=team.slug, uid=run.uid)


@require_POST
@team_page("view")
def preflight_again(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Measure the same plan once more."""
    row = planning.preflight(user=request.user, team=team, uid=uid)
    preflight_request(actor=request.user, team=team, plan=plan_of(row), again=True)
    return redirect(f"{reverse('training_new', args=[team.slug])}?{planning.clone_query(row)}")
