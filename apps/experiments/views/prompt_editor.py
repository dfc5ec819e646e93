"""The editor of prompts: every button of its form sends the whole draft, so that no text is lost."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.errors import ApplicationError, NotFound, translated
from apps.core.pages import render_page
from apps.experiments import prompt_reading
from apps.experiments.engine.prompts import PromptError
from apps.experiments.models import Prompt, PromptVersion
from apps.experiments.prompt_editing import MOST_DRAWN, ROLES, Desk, desk, draft_for, draft_from, preview
from apps.experiments.services.prompts import prompt_create, prompt_version_create

DATASETS_OFFERED = 200


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def prompt_new(request: HttpRequest, team: Team) -> HttpResponse:
    return _editor(request, team, None, None)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def prompt_edit(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """A next version, begun from the newest one or from `?from=`."""
    prompt = prompt_reading.prompt(user=request.user, team=team, uid=uid, action="edit")
    number = request.POST.get("base") or request.GET.get("from") or ""
    if number.isascii() and number.isdecimal() and len(number) < 9:
        base = prompt_reading.prompt_version(user=request.user, prompt=prompt, number=int(number))
    else:
        newest = prompt_reading.newest_version(user=request.user, prompt=prompt)
        if newest is None:
            raise NotFound(_("This prompt has no version."))
        base = newest
    return _editor(request, team, prompt, base)


def _editor(request: HttpRequest, team: Team, prompt: Prompt | None, base: PromptVersion | None) -> HttpResponse:
    do = request.POST.get("do", "")
    if request.method == "POST":
        draft = draft_from(request.POST)
    else:
        draft = draft_for(user=request.user, team=team, base=base)
    at = desk(user=request.user, team=team, draft=draft, do=do, base=base)
    error: ApplicationError | None = None
    if do == "save":
        try:
            version = _save(request, team, prompt, at)
        except ApplicationError as caught:
            if caught.status in (403, 404):
                raise
            error = caught
        else:
            return _saved(request, team, version, at)
    return _page(request, team, prompt, at, error)


def _save(request: HttpRequest, team: Team, prompt: Prompt | None, at: Desk) -> PromptVersion:
    if at.problems:
        raise ApplicationError(at.problems[0], code="prompt_invalid", field="messages")
    if at.strangers:
        raise ApplicationError(
            _("Some demonstrations are no training rows of the dataset version that is chosen now. Remove them."),
            field="demonstrations",
        )
    try:
        spec = at.spec()
    except PromptError as error:
        raise ApplicationError(translated(error), code="prompt_invalid", field="messages") from error
    shared: dict[str, Any] = {
        "actor": request.user,
        "team": team,
        "spec": spec,
        "demonstrations_from": at.version,
        "note": at.draft.note,
    }
    if prompt is None:
        return prompt_create(name=at.draft.name, description=at.draft.description, **shared)
    return prompt_version_create(name=prompt.name, carried_from=at.base, **shared)


def _saved(request: HttpRequest, team: Team, version: PromptVersion, at: Desk) -> HttpResponse:
    if at.base is not None and version.number <= at.base.number:
        messages.success(
            request, _("Version %(n)s says exactly this already; nothing new was saved.") % {"n": version.number}
        )
    else:
        messages.success(request, _("Version %(n)s is saved.") % {"n": version.number})
    return redirect("prompt_version", team=team.slug, uid=version.prompt.uid, number=version.number)


def _page(
    request: HttpRequest, team: Team, prompt: Prompt | None, at: Desk, error: ApplicationError | None
) -> HttpResponse:
    own = ("name", "description", "note")
    crumbs = [{"label": _("Prompts"), "url": reverse("prompts", args=[team.slug])}]
    cancel = crumbs[0]["url"]
    if prompt is not None:
        cancel = reverse("prompt", args=[team.slug, prompt.uid])
        crumbs.append({"label": prompt.name, "url": cancel})
    datasets = prompt_reading.dataset_versions(user=request.user, team=team)[:DATASETS_OFFERED]
    context: dict[str, Any] = {
        "prompt": prompt,
        "at": at,
        "draft": at.draft,
        "preview": preview(at),
        "crumbs": crumbs,
        "cancel_url": cancel,
        "error": error.message if error is not None and error.field not in own else "",
        "errors": {error.field: error.message} if error is not None and error.field in own else {},
        "role_options": [(role, _role_label(role)) for role in ROLES],
        "split_options": [("train", _("Train")), ("validation", _("Validation"))],
        "dataset_options": [
            ("", _("None")),
            *((str(each.uid), f"{each.dataset.name}, {_('version %(n)s') % {'n': each.number}}") for each in datasets),
        ],
        "model_options": [*((str(each.uid), each.name) for each in at.models), ("characters", _("Characters only"))],
        "chosen_model": str(at.model.uid) if at.model is not None else "characters",
        "variables": ", ".join(f"{{{{ {name} }}}}" for name in at.variables),
        "most_drawn": MOST_DRAWN,
        "here": request.path,
        "demonstration_columns": [
            {"label": _("Input"), "width": "wide"},
            {"label": _("Answer")},
            {"label": _("Actions"), "hidden_label": True},
        ],
    }
    return render_page(
        request, "experiments/prompt_editor.html", context, parts=("preview",), status=422 if error else 200
    )


def _role_label(role: str) -> str:
    return {"system": _("System"), "user": _("User"), "assistant": _("Assistant")}[role]
