"""Prompts to read, their labels, and taking one away."""

from collections import Counter
from typing import Any
from urllib.parse import urlencode

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
from apps.core.errors import ApplicationError, NotFound
from apps.core.pages import render_page
from apps.core.refusals import refuse_on_page
from apps.experiments import prompt_reading, selectors
from apps.experiments.models import Prompt, PromptVersion
from apps.experiments.services import prompts as services

PAGE_SIZE = 50


@require_safe
@team_page("view")
def prompt_list(request: HttpRequest, team: Team) -> HttpResponse:
    query = request.GET.get("q", "").strip()[:100]
    found = prompt_reading.prompts(user=request.user, team=team, query=query)
    context = {
        "page_obj": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "query": query,
        "may_edit": may(user=request.user, team=team, action="edit"),
        "columns": [
            {"label": _("Name")},
            {"label": _("Newest version"), "numeric": True},
            {"label": _("Labels")},
            {"label": _("Experiments"), "numeric": True, "help": _("Experiments with a candidate of any version.")},
            {"label": _("Changed")},
        ],
    }
    return render_page(request, "experiments/prompts.html", context)


@require_safe
@team_page("view")
def prompt(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The newest version, or the one that `?label=` points at."""
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid)
    label = request.GET.get("label", "")
    if label and label not in services.RESERVED_LABELS:
        version = prompt_reading.labelled_version(user=request.user, prompt=found, label=label)
    else:
        newest = prompt_reading.newest_version(user=request.user, prompt=found)
        if newest is None:
            raise NotFound(_("This prompt has no version."))
        version = newest
    return _version_page(request, team, found, version)


@require_safe
@team_page("view")
def prompt_version(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid)
    return _version_page(
        request, team, found, prompt_reading.prompt_version(user=request.user, prompt=found, number=number)
    )


def _version_page(request: HttpRequest, team: Team, prompt: Prompt, version: PromptVersion) -> HttpResponse:
    user = request.user
    versions = list(prompt_reading.versions_of(user=user, prompt=prompt))
    candidates = list(prompt_reading.candidates_with(user=user, prompt=prompt))
    own_url = reverse("prompt", args=[team.slug, prompt.uid])
    used = Counter(candidate.prompt_version_id for candidate in candidates)
    context: dict[str, Any] = {
        "prompt": prompt,
        "version": version,
        "newest": versions[0].number,
        "versions": [{"version": each, "used": used[each.pk], "before": each.number - 1} for each in versions],
        "version_options": [(each.number, _("Version %(n)s") % {"n": each.number}) for each in versions],
        "labels": [
            {"label": label, "url": f"{own_url}?{urlencode({'label': label.name})}"}
            for label in prompt_reading.labels_of(user=user, prompt=prompt)
        ],
        "here": [label.name for label in version.labels.all()],
        "candidates": candidates,
        "may_edit": may(user=user, team=team, action="edit"),
        "crumbs": [_crumb(team)],
        **_version_columns(),
    }
    return render_page(request, "experiments/prompt.html", context)


def _version_columns() -> dict[str, list[dict[str, Any]]]:
    return {
        "demonstration_columns": [{"label": _("Input")}, {"label": _("Answer")}],
        "label_columns": [
            {"label": _("Label")},
            {"label": _("Version")},
            {"label": _("Actions"), "hidden_label": True},
        ],
        "use_columns": [
            {"label": _("Candidate")},
            {"label": _("Experiment")},
            {"label": _("Version"), "numeric": True},
        ],
        "version_columns": [
            {"label": _("Version")},
            {"label": _("Note")},
            {"label": _("Labels")},
            {"label": _("Candidates"), "numeric": True},
            {"label": _("By")},
            {"label": _("Made")},
            {"label": _("Difference")},
        ],
    }


@require_safe
@team_page("view")
def prompt_diff(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Two versions word by word; without `?from=` and `?to=`, the newest against the one before it."""
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid)
    newest = prompt_reading.newest_version(user=request.user, prompt=found)
    last = newest.number if newest is not None else 1
    after = prompt_reading.prompt_version(
        user=request.user, prompt=found, number=_version_number(request.GET.get("to"), last)
    )
    before = prompt_reading.prompt_version(
        user=request.user, prompt=found, number=_version_number(request.GET.get("from"), max(after.number - 1, 1))
    )
    versions = prompt_reading.versions_of(user=request.user, prompt=found)
    context = {
        "prompt": found,
        "before": before,
        "after": after,
        "version_options": [(each.number, _("Version %(n)s") % {"n": each.number}) for each in versions],
        "differences": _message_differences(before, after),
        "removed": [shown for shown in before.demonstrations if shown not in after.demonstrations],
        "added": [shown for shown in after.demonstrations if shown not in before.demonstrations],
        "demonstration_columns": [{"label": _("Input")}, {"label": _("Answer")}],
        "crumbs": [_crumb(team), {"label": found.name, "url": reverse("prompt", args=[team.slug, found.uid])}],
    }
    return render_page(request, "experiments/prompt_diff.html", context)


def _message_differences(before: PromptVersion, after: PromptVersion) -> list[dict[str, Any]]:
    """Messages paired from the last, which is the question in both: a new first message is then simply added."""
    old, new = list(reversed(before.messages)), list(reversed(after.messages))
    pairs = []
    for place in range(max(len(old), len(new))):
        left = old[place] if place < len(old) else {"role": "", "content": ""}
        right = new[place] if place < len(new) else {"role": "", "content": ""}
        role = left["role"] if left["role"] == right["role"] else f"{left['role'] or '–'} → {right['role'] or '–'}"
        pairs.append({"role": role, "before": left["content"], "after": right["content"], "same": left == right})
    return pairs[::-1]


def _version_number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 9 else default


def _crumb(team: Team) -> dict[str, str]:
    return {"label": _("Prompts"), "url": reverse("prompts", args=[team.slug])}


@require_POST
@team_page("edit")
def prompt_label_set(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid, action="edit")
    number = _version_number(request.POST.get("version"), 0)
    version = prompt_reading.prompt_version(user=request.user, prompt=found, number=number)
    name = request.POST.get("name", "")
    own_url = reverse("prompt", args=[team.slug, uid])
    try:
        label = services.prompt_label_set(actor=request.user, prompt=found, name=name, version=version)
    except ApplicationError as error:
        refuse_on_page(request, error)
        # What was typed is still there, to be mended.
        return redirect(f"{own_url}?{urlencode({'typed': name[:200], 'for': number})}#labels")
    messages.success(request, _("%(name)s points at version %(n)s.") % {"name": label.name, "n": label.version.number})
    return redirect(own_url)


@require_POST
@team_page("edit")
def prompt_label_remove(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid, action="edit")
    name = request.POST.get("name", "")
    services.prompt_label_remove(actor=request.user, prompt=found, name=name)
    messages.success(request, _("The label %(name)s is removed.") % {"name": name})
    return redirect("prompt", team=team.slug, uid=uid)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def prompt_settings(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Name, description, and deleting."""
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid, action="edit")
    values, error = {"name": found.name, "description": found.description}, None
    if request.method == "POST":
        values = {key: request.POST.get(key, "") for key in values}
        try:
            services.prompt_update(actor=request.user, prompt=found, **values)
        except ApplicationError as caught:
            if caught.status == 403:
                raise
            error = caught
        else:
            messages.success(request, _("The prompt is changed."))
            return redirect("prompt", team=team.slug, uid=uid)
    context = {
        "prompt": found,
        "values": values,
        "name_error": error.message if error is not None and error.field == "name" else "",
        "description_error": error.message if error is not None and error.field == "description" else "",
        "error": error.message if error is not None and error.field not in values else "",
        "depending": selectors.depending_on(found.versions.all()),
        "crumbs": [_crumb(team), {"label": found.name, "url": reverse("prompt", args=[team.slug, found.uid])}],
    }
    return render_page(request, "experiments/prompt_settings.html", context, status=422 if error else 200)


@require_POST
@team_page("edit")
def prompt_delete(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = prompt_reading.prompt(user=request.user, team=team, uid=uid, action="edit")
    try:
        services.prompt_delete(actor=request.user, prompt=found)
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect("prompt_settings", team=team.slug, uid=uid)
    messages.success(request, _("The prompt %(name)s is deleted.") % {"name": found.name})
    return redirect("prompts", team=team.slug)
