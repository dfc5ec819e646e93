"""One example exactly as the trainer sees it."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.training import planning
from apps.training.token_view import TokenFacts, token_facts

NAMES = ("dataset_version", "base_model", "prompt_version")


@require_safe
@team_page("view")
def training_tokens(request: HttpRequest, team: Team) -> HttpResponse:
    """What is not named is the first that suits; a row is named by its id or its place."""
    choices = planning.plan_choices(user=request.user, team=team)
    # The prompt that only a run would make has no tokens yet.
    prompts = [choice for choice in choices.prompt_versions if choice[0] != planning.NEW_PROMPT]
    options = (choices.dataset_versions, choices.base_models, prompts)
    values = {
        name: request.GET.get(name) or (offered[0][0] if offered else "")
        for name, offered in zip(NAMES, options, strict=True)
    }
    parts = planning.plan_parts(user=request.user, team=team, data=values)
    facts, problem = None, ""
    if parts.dataset_version and parts.base_model and parts.prompt_version:
        try:
            facts = token_facts(
                version=parts.dataset_version,
                model=parts.base_model,
                prompt=parts.prompt_version,
                row=request.GET.get("row", ""),
                place=_place(request),
            )
        except ApplicationError as error:
            if error.status == 404:
                raise
            problem = error.message
    context = {
        "facts": facts,
        "problem": problem,
        "complete": all(values.values()),
        "fields": [
            {"name": name, "label": label, "options": offered, "value": values[name]}
            for name, label, offered in zip(
                NAMES, (_("Dataset version"), _("Base model"), _("Prompt")), options, strict=True
            )
        ],
        "links": _links(request.path, values, facts),
        "crumbs": [{"label": _("Training"), "url": reverse("training_runs", args=[team.slug])}],
    }
    return render_page(request, "training/training_tokens.html", context)


def _place(request: HttpRequest) -> int:
    text = request.GET.get("place", "1")
    return int(text) if text.isdecimal() and len(text) < 10 else 1


def _links(path: str, values: dict[str, str], facts: TokenFacts | None) -> dict[str, Any]:
    if facts is None:
        return {}
    places = {"previous": facts.previous, "next": facts.next}
    return {name: f"{path}?{urlencode({**values, 'place': place})}" for name, place in places.items() if place}
